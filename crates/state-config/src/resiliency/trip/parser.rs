use super::{
    COUNTERS,
    expression::{Expression, Operator, Value},
};
use crate::spelling::did_you_mean;

/// How deep parentheses and signs may be nested: far more than anybody writes.
const DEPTH_MAX: usize = 32;
/// In bytes; more than a page of text.
const LEN_MAX: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Bool,
    Int,
    Double,
}

/// A part of the condition, and what it yields.
type Part = (Expression, Type);

/// From the weakest to the strongest. Source: the grammar of CEL.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::Divided), ("%", Operator::Remainder)],
];

/// Reads a condition; the error says in words what is wrong.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > LEN_MAX {
        return Err(format!("it is longer than {LEN_MAX} bytes"));
    }
    let tokens = split(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let (expression, yields) = parser.choice()?;
    if let Some(token) = parser.tokens.first() {
        return Err(format!("`{token}` is not expected after what comes before it"));
    }
    if yields != Type::Bool {
        return Err(format!("it yields {}, not true or false", yields.name()));
    }
    Ok(expression)
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn choice(&mut self) -> Result<Part, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let (condition, yields) = self.binary(0)?;
        let part = if self.take("?") {
            require(yields == Type::Bool, "`?` needs true or false before it")?;
            let (then, then_yields) = self.choice()?;
            require(self.take(":"), "`:` is missing after `?`")?;
            let (otherwise, otherwise_yields) = self.choice()?;
            require(then_yields == otherwise_yields, "both sides of `:` must be of one type")?;
            let all = [condition, then, otherwise].map(Box::new);
            let [condition, then, otherwise] = all;
            (Expression::If(condition, then, otherwise), then_yields)
        } else {
            (condition, yields)
        };
        self.depth -= 1;
        Ok(part)
    }

    fn binary(&mut self, level: usize) -> Result<Part, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some((symbol, operator)) =
            operators.iter().find(|(symbol, _)| self.tokens.first() == Some(symbol))
        {
            self.tokens = &self.tokens[1..];
            let right = self.binary(level + 1)?;
            left = combine(symbol, *operator, left, right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Part, String> {
        let mut signs = Vec::new();
        while let Some(sign) = self.tokens.first().filter(|it| matches!(**it, "!" | "-")) {
            signs.push(*sign);
            self.tokens = &self.tokens[1..];
        }
        require(signs.len() <= DEPTH_MAX, "it is nested too deeply")?;
        let (mut expression, yields) = self.primary()?;
        for sign in signs.into_iter().rev() {
            expression = if sign == "!" {
                require(yields == Type::Bool, "`!` needs true or false after it")?;
                Expression::Not(Box::new(expression))
            } else {
                require(yields != Type::Bool, "`-` needs a number after it")?;
                Expression::Negative(Box::new(expression))
            };
        }
        Ok((expression, yields))
    }

    fn primary(&mut self) -> Result<Part, String> {
        let Some((&token, rest)) = self.tokens.split_first() else {
            return Err("it ends where a counter or a number is expected".to_owned());
        };
        self.tokens = rest;
        if token == "(" {
            let part = self.choice()?;
            require(self.take(")"), "a `)` is missing")?;
            return Ok(part);
        }
        if token.starts_with(|it: char| it.is_ascii_digit() || it == '.') {
            return number(token).ok_or_else(|| format!("`{token}` is not a number"));
        }
        match token {
            "true" | "false" => Ok((Expression::Value(Value::Bool(token == "true")), Type::Bool)),
            "int" | "double" if self.tokens.first() == Some(&"(") => {
                let (inner, yields) = self.primary()?;
                require(yields != Type::Bool, &format!("`{token}` needs a number"))?;
                let inner = Box::new(inner);
                Ok(match token {
                    "int" => (Expression::Int(inner), Type::Int),
                    _ => (Expression::Double(inner), Type::Double),
                })
            }
            _ => counter(token),
        }
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.tokens.first() == Some(&token);
        if is_next {
            self.tokens = &self.tokens[1..];
        }
        is_next
    }
}

fn counter(token: &str) -> Result<Part, String> {
    let found = COUNTERS.iter().position(|(name, _)| *name == token);
    if let Some(i) = found {
        return Ok((Expression::Counter(i), Type::Int));
    }
    if !token.starts_with(|it: char| it.is_alphabetic() || it == '_') {
        return Err(format!("`{token}` is where a counter or a number is expected"));
    }
    let meant = did_you_mean(token, COUNTERS.map(|(name, _)| name));
    Err(format!("there is no counter `{token}`; {}", meant.unwrap_or_default())
        .trim_end_matches("; ")
        .to_owned())
}

fn combine(symbol: &str, operator: Operator, left: Part, right: Part) -> Result<Part, String> {
    let ((left, left_yields), (right, right_yields)) = (left, right);
    if left_yields != right_yields {
        let (left, right) = (left_yields.name(), right_yields.name());
        let both_numbers = left_yields != Type::Bool && right_yields != Type::Bool;
        let hint = if both_numbers { ": write `double(...)` around the whole number" } else { "" };
        return Err(format!("`{symbol}` has {left} before it and {right} after it{hint}"));
    }
    let (takes, yields) = match operator {
        Operator::Or | Operator::And => (left_yields == Type::Bool, Type::Bool),
        Operator::Equal | Operator::NotEqual => (true, Type::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            (left_yields != Type::Bool, Type::Bool)
        }
        Operator::Plus | Operator::Minus | Operator::Times | Operator::Divided => {
            (left_yields != Type::Bool, left_yields)
        }
        Operator::Remainder => (left_yields == Type::Int, Type::Int),
    };
    require(takes, &format!("`{symbol}` cannot be between two of {}", left_yields.name()))?;
    Ok((Expression::Binary(operator, Box::new(left), Box::new(right)), yields))
}

fn number(token: &str) -> Option<Part> {
    if token.bytes().all(|it| it.is_ascii_digit()) {
        return Some((Expression::Value(Value::Int(token.parse().ok()?)), Type::Int));
    }
    let double: f64 = token.parse().ok()?;
    Some((Expression::Value(Value::Double(double)), Type::Double))
}

fn require(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Bool => "true or false",
            Type::Int => "a whole number",
            Type::Double => "a number with a fraction",
        }
    }
}

/// Divides the text into words, numbers and signs.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |it: char| it.is_alphanumeric() || it == '_' || it == '.';
        let len = if is_word(first) {
            rest.find(|it| !is_word(it)).unwrap_or(rest.len())
        } else {
            let pairs = ["||", "&&", "<=", ">=", "==", "!="];
            match pairs.iter().any(|it| rest.starts_with(it)) {
                true => 2,
                false if "<>+-*/%!()?:".contains(first) => 1,
                false => return Err(format!("`{first}` means nothing here")),
            }
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}
