use super::{COUNTERS, Counts};

/// A condition, or a part of one. Its types fit: the parser has seen to that.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Value(Value),
    /// The counter at this place of [`COUNTERS`].
    Counter(usize),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Int(Box<Expression>),
    Double(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    If(Box<Expression>, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Double(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Plus,
    Minus,
    Times,
    Divided,
    Remainder,
}

impl Expression {
    /// `None` if it cannot be computed: a division by zero, a number too large.
    pub(super) fn value(&self, counts: &Counts) -> Option<Value> {
        Some(match self {
            Expression::Value(it) => *it,
            Expression::Counter(i) => Value::Int(COUNTERS[*i].1(counts).into()),
            Expression::Not(it) => match it.value(counts)? {
                Value::Bool(it) => Value::Bool(!it),
                Value::Int(_) | Value::Double(_) => return None,
            },
            Expression::Negative(it) => match it.value(counts)? {
                Value::Int(it) => Value::Int(it.checked_neg()?),
                Value::Double(it) => Value::Double(-it),
                Value::Bool(_) => return None,
            },
            Expression::Int(it) => match it.value(counts)? {
                // Truncates, as in CEL; what has no such integer is an error there.
                Value::Double(it) if it.abs() < i64::MAX as f64 => Value::Int(it as i64),
                Value::Int(it) => Value::Int(it),
                Value::Double(_) | Value::Bool(_) => return None,
            },
            Expression::Double(it) => match it.value(counts)? {
                Value::Int(it) => Value::Double(it as f64),
                Value::Double(it) => Value::Double(it),
                Value::Bool(_) => return None,
            },
            Expression::Binary(operator, left, right) => {
                operator.apply(left.value(counts), right.value(counts))?
            }
            Expression::If(condition, then, otherwise) => match condition.value(counts)? {
                Value::Bool(true) => then.value(counts)?,
                Value::Bool(false) => otherwise.value(counts)?,
                Value::Int(_) | Value::Double(_) => return None,
            },
        })
    }
}

impl Operator {
    fn apply(self, left: Option<Value>, right: Option<Value>) -> Option<Value> {
        // In CEL one side decides, if it can, also when the other cannot be computed.
        let decides = |it| [left, right].contains(&Some(Value::Bool(it)));
        match self {
            Operator::Or if decides(true) => return Some(Value::Bool(true)),
            Operator::And if decides(false) => return Some(Value::Bool(false)),
            _ => {}
        }
        match (left?, right?) {
            (Value::Bool(left), Value::Bool(right)) => Some(Value::Bool(match self {
                Operator::Or => left || right,
                Operator::And => left && right,
                other => other.compare(left, right)?,
            })),
            (Value::Int(left), Value::Int(right)) => {
                self.whole(left, right).map(Value::Int).or_else(|| {
                    // Not arithmetic, or arithmetic that failed.
                    self.compare(left, right).map(Value::Bool)
                })
            }
            (Value::Double(left), Value::Double(right)) => Some(match self {
                Operator::Plus => Value::Double(left + right),
                Operator::Minus => Value::Double(left - right),
                Operator::Times => Value::Double(left * right),
                Operator::Divided => Value::Double(left / right),
                other => Value::Bool(other.compare(left, right)?),
            }),
            _ => None,
        }
    }

    fn whole(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Operator::Plus => left.checked_add(right),
            Operator::Minus => left.checked_sub(right),
            Operator::Times => left.checked_mul(right),
            Operator::Divided => left.checked_div(right),
            Operator::Remainder => left.checked_rem(right),
            _ => None,
        }
    }

    fn compare<T: PartialOrd>(self, left: T, right: T) -> Option<bool> {
        match self {
            Operator::Less => Some(left < right),
            Operator::LessOrEqual => Some(left <= right),
            Operator::Greater => Some(left > right),
            Operator::GreaterOrEqual => Some(left >= right),
            Operator::Equal => Some(left == right),
            Operator::NotEqual => Some(left != right),
            _ => None,
        }
    }
}
