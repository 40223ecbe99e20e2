use anyhow::{Result, ensure};
use state::Format;

use super::{EVERY_WAY, Group, clauses};
use crate::scope::Scope;

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "bytes",
        ways: EVERY_WAY,
        needs: |_| true,
        clauses: clauses![
            numbers_keep_every_digit,
            mebibyte_comes_back,
            every_byte_value_comes_back,
            opaque_json_comes_back_as_it_was,
            empty_value_is_not_an_absent_one,
        ],
    },
    Group {
        name: "bytes",
        ways: EVERY_WAY,
        needs: |it| it.exact_values,
        clauses: clauses![json_comes_back_as_it_was],
    },
];

async fn numbers_keep_every_digit(it: &Scope) -> Result<()> {
    for json in ["9007199254740993", "-0.1234567890123456789", "123456789012345678901234567890"] {
        it.succeeds(it.put("k", json)).await?;
    }
    Ok(())
}

async fn mebibyte_comes_back(it: &Scope) -> Result<()> {
    let json = format!("\"{}\"", "a mebibyte \\n of text, ".repeat((1 << 20) / 23));
    it.succeeds(it.put("k", json)).await?;
    Ok(())
}

async fn every_byte_value_comes_back(it: &Scope) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).rev().chain(0..=255).collect();
    it.succeeds(it.put_bytes("k", bytes, Format::Opaque, None)).await?;
    Ok(())
}

async fn opaque_json_comes_back_as_it_was(it: &Scope) -> Result<()> {
    let json = " {\"b\": 1.10,\t\"a\": [ ], \"b\": 2}\n";
    it.succeeds(it.put_bytes("k", json, Format::Opaque, None)).await?;
    Ok(())
}

async fn empty_value_is_not_an_absent_one(it: &Scope) -> Result<()> {
    it.succeeds(it.put_bytes("k", "", Format::Opaque, None)).await?;
    ensure!(it.item("k").await?.value.is_empty());
    it.succeeds(it.delete("k")).await?;
    Ok(())
}

async fn json_comes_back_as_it_was(it: &Scope) -> Result<()> {
    let texts = [
        "null",
        "false",
        "\"\"",
        "1.10",
        "-0",
        "1E+2",
        "{}",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{ "b" : 1 , "a" : [ 1,  2 ] }"#,
        "[\n\t1\n]",
        r#""  white space  ""#,
        r#""\u00e9 \u00E9 é \/ / \ud83d\ude00 \u0000""#,
        "\"<a href='?b&c'> \u{2028} \u{7f}\"",
    ];
    for json in texts {
        it.succeeds(it.put("k", json)).await?;
    }
    Ok(())
}
