//! Tells the program which compiler built it.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string());
    let Ok(output) = Command::new(rustc).arg("--version").output() else { return };
    let text = String::from_utf8_lossy(&output.stdout); // rustc 1.80.0 (051478957 2024-07-21)
    if let Some(version) = text.split_whitespace().nth(1) {
        println!("cargo:rustc-env=RUSTC_VERSION={version}");
    }
}
