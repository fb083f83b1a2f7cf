//! The port: how backprop-check talks to the network in network.rs.
//!
//! A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
//! There is no mathematics here. Keep this file, and put your own network behind `backprop`.

mod activations;
mod backprop;
mod json;
mod losses;
mod mathematics;
mod network;

use std::io::{self, BufRead, Write};
use std::panic;

use activations::ACTIVATIONS;
use backprop::{backprop, Trouble};
use json::{object, Json};
use losses::LOSSES;

/// Answers until stdin ends.
fn main() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(stdout, "{}", answer(&line))?;
            stdout.flush()?; // without it the answer might wait in a buffer, and the harness for the answer
        }
    }
    Ok(())
}

/// The reply to one request.
fn answer(line: &str) -> Json {
    let request = match Json::parse(line) {
        Ok(request) => request,
        Err(message) => return failure(&Json::Null, message),
    };
    let id = request.get("id");

    // One case that fails must not end the others: say what happened, and go on. Where it happened is on stderr.
    match panic::catch_unwind(|| dispatch(&request)) {
        Ok(Ok(reply)) => reply,
        Ok(Err(Trouble::NotThereYet(what))) => {
            object([("id", id.clone()), ("skip", Json::Text(format!("{what} is not there yet")))])
        }
        Ok(Err(Trouble::Wrong(message))) => failure(id, message),
        Err(panic) => failure(id, panic_message(&*panic)),
    }
}

fn dispatch(request: &Json) -> Result<Json, Trouble> {
    match request.get("type").text()? {
        "hello" => Ok(hello(request)),
        "case" => backprop(request),
        other => Err(Trouble::NotThereYet(format!("the request {other}"))),
    }
}

fn failure(id: &Json, message: String) -> Json {
    object([("id", id.clone()), ("error", Json::Text(message))])
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(message) = panic.downcast_ref::<String>() {
        message.clone()
    } else if let Some(message) = panic.downcast_ref::<&str>() {
        message.to_string()
    } else {
        "panic".to_string()
    }
}

/// Says who we are and what we can do. What is not listed under `supports` is never asked for.
fn hello(request: &Json) -> Json {
    let words = |words: &[&str]| Json::List(words.iter().map(|word| Json::from(*word)).collect());
    object([
        ("protocol", Json::Number(1.0)),
        ("name", "vanilla-rust".into()),
        ("language", language().as_str().into()),
        ("version", "0.1.0".into()),
        ("dtype", "float64".into()),
        ("max_in_flight", Json::Number(16.0)),
        (
            "supports",
            object([
                ("layers", words(&["dense"])),
                ("activations", words(&ACTIVATIONS)),
                ("losses", words(&LOSSES)),
                ("optimizers", words(&["sgd"])),
                ("batch", Json::Bool(true)),
            ]),
        ),
        // Shows that no digit is lost on the way in and out.
        ("echo", request.get("echo").clone()),
    ])
}

/// The compiler's version, where the build told it: a Rust program does not know it by itself.
fn language() -> String {
    match option_env!("RUSTC_VERSION") {
        Some(version) => format!("Rust {version}"),
        None => "Rust, edition 2021".to_string(),
    }
}
