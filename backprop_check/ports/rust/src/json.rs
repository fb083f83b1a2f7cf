//! JSON, which Rust's standard library does not have: a value, its reader and its writer.

use std::fmt;

use crate::backprop::Trouble;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// An object with these members.
pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_string())
    }
}

impl From<&[f64]> for Json {
    fn from(numbers: &[f64]) -> Self {
        Json::List(numbers.iter().map(|number| Json::Number(*number)).collect())
    }
}

/// What to make of a value that should be of a certain kind.
impl Json {
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value()?;
        reader.skip_space();
        if reader.at < text.len() {
            return Err(reader.error("the end"));
        }
        Ok(value)
    }

    /// The member of an object, or `Null` where there is none.
    pub fn get(&self, key: &str) -> &Json {
        match self {
            Json::Object(members) => {
                members.iter().find(|(name, _)| name == key).map_or(&Json::Null, |(_, value)| value)
            }
            _ => &Json::Null,
        }
    }

    /// Adds a member to an object.
    pub fn put(&mut self, key: &str, value: Json) {
        if let Json::Object(members) = self {
            members.push((key.to_string(), value));
        }
    }

    pub fn list(&self) -> Result<&[Json], Trouble> {
        match self {
            Json::List(items) => Ok(items),
            other => Err(Trouble::Wrong(format!("expected a list, got {other}"))),
        }
    }

    pub fn text(&self) -> Result<&str, Trouble> {
        match self {
            Json::Text(text) => Ok(text),
            other => Err(Trouble::Wrong(format!("expected a text, got {other}"))),
        }
    }

    /// A number. JSON has no NaN and no infinity, so these come as text, which `parse` reads as well.
    pub fn number(&self) -> Result<f64, Trouble> {
        match self {
            Json::Number(number) => Some(*number),
            Json::Text(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| Trouble::Wrong(format!("expected a number, got {self}")))
    }

    pub fn numbers(&self) -> Result<Vec<f64>, Trouble> {
        self.list()?.iter().map(Json::number).collect()
    }
}

/// Writes the value as one line.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Json::Null => write!(f, "null"),
            Json::Bool(value) => write!(f, "{value}"),
            // {:?} gives the shortest digits that are read back as the same number, and -0.0 its sign and point.
            Json::Number(number) if number.is_finite() => {
                if *number == number.trunc() && number.abs() < 1e15 && *number != 0.0 {
                    write!(f, "{number:.0}") // 16, not 16.0: some numbers of the protocol are integers
                } else {
                    write!(f, "{number:?}")
                }
            }
            Json::Number(number) if number.is_nan() => write!(f, "\"NaN\""),
            Json::Number(number) => write!(f, "\"{}Infinity\"", if *number < 0.0 { "-" } else { "" }),
            Json::Text(text) => write_text(f, text),
            Json::List(items) => {
                write!(f, "[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                write!(f, "]")
            }
            Json::Object(members) => {
                write!(f, "{{")?;
                for (i, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}", if i > 0 { "," } else { "" })?;
                    write_text(f, key)?;
                    write!(f, ":{value}")?;
                }
                write!(f, "}}")
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter, text: &str) -> fmt::Result {
    write!(f, "\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    write!(f, "\"")
}

/// Reads a value from a text, character by character.
struct Reader<'a> {
    text: &'a str,
    at: usize, // in bytes
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Json, String> {
        self.skip_space();
        match self.peek() {
            Some('{') => self.object(),
            Some('[') => self.list(),
            Some('"') => Ok(Json::Text(self.string()?)),
            Some('t') => self.word("true", Json::Bool(true)),
            Some('f') => self.word("false", Json::Bool(false)),
            Some('n') => self.word("null", Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = Vec::new();
        self.expect('{')?;
        if !self.accept('}') {
            loop {
                self.skip_space();
                let key = self.string()?;
                self.expect(':')?;
                members.push((key, self.value()?));
                if !self.accept(',') {
                    break;
                }
            }
            self.expect('}')?;
        }
        Ok(Json::Object(members))
    }

    fn list(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        self.expect('[')?;
        if !self.accept(']') {
            loop {
                items.push(self.value()?);
                if !self.accept(',') {
                    break;
                }
            }
            self.expect(']')?;
        }
        Ok(Json::List(items))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut units: Vec<u16> = Vec::new(); // UTF-16, as \u writes a character beyond it as two
        self.expect('"')?;
        loop {
            match self.next()? {
                '"' => return String::from_utf16(&units).map_err(|error| error.to_string()),
                '\\' => units.push(match self.next()? {
                    'n' => 10,
                    't' => 9,
                    'r' => 13,
                    'b' => 8,
                    'f' => 12,
                    'u' => self.hexadecimal()?,
                    other => other as u16, // a quote, a slash or a backslash
                }),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn hexadecimal(&mut self) -> Result<u16, String> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.error("four digits"))?;
        let unit = u16::from_str_radix(digits, 16).map_err(|_| self.error("four digits"))?;
        self.at += 4;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| self.error("a value"))?;
        self.at += end;
        Ok(Json::Number(number))
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error(word));
        }
        self.at += word.len();
        Ok(value)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Result<char, String> {
        let c = self.peek().ok_or_else(|| self.error("more"))?;
        self.at += c.len_utf8();
        Ok(c)
    }

    fn accept(&mut self, c: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(c);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.accept(c) {
            Ok(())
        } else {
            Err(self.error(&c.to_string()))
        }
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn error(&self, expected: &str) -> String {
        format!("JSON: expected {expected} at byte {}", self.at)
    }
}
