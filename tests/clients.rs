//! The clients of `clients/`, as they are packed: installed from their packages, they are driven
//! against the real server, from Python, from Node, and from a page in Chromium.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What runs a client's tests, told where a fresh server is.
fn runs(command: &mut Command, server: &Server) {
    let output = command
        .env("TAGHOUSE_URL", &server.base)
        .env("TAGHOUSE_KEY", server.admin_key.as_ref().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}\n{said}");
}

/// Compiled tests for node, in order of name.
fn test_files(client: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(client.join("tests/out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".test.js"))
        .collect();
    files.sort();
    files
}

#[test]
fn the_python_client() {
    let Some(client) = needs::client("the_python_client", "python") else { return };
    let house = House::new();
    let mut pytest = Command::new(client.join("environment/bin/python"));
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(client.join("tests"));
    runs(&mut pytest, &house.serve());
}

#[test]
fn the_typescript_client_in_node() {
    let Some(client) = needs::client("the_typescript_client_in_node", "typescript") else { return };
    let files = test_files(&client);
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let house = House::new();
        runs(Command::new("node").arg("--test").arg(file), &house.serve());
    }
}

#[test]
fn the_typescript_client_in_a_browser() {
    let test = "the_typescript_client_in_a_browser";
    let Some(client) = needs::client(test, "typescript") else { return };
    let Some(packages) = needs::sdks(test) else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let house = House::new();
    let server = house.serve_with(&["--web-origins", &format!("http://127.0.0.1:{port}")]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/browser.mjs");
    // Beside the packages that it draws in, where node finds them.
    let place = packages.join(format!("{}-client-browser.mjs", std::process::id()));
    std::fs::copy(script, &place).unwrap();
    let mut browser = Command::new("node");
    browser
        .arg(&place)
        .env("PACKAGES", client.join("tests/node_modules"))
        .env("PAGE_PORT", port.to_string())
        .env("CHROMIUM", needs::chromium());
    runs(&mut browser, &server);
    std::fs::remove_file(place).unwrap();
}

/// The examples of the book in a language, one after the other, for a server at another place.
fn examples(language: &str, server: &Server) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/howto/clients.md");
    let page = std::fs::read_to_string(page).unwrap();
    let begin = format!("```{language}\n");
    let blocks: Vec<&str> =
        page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty(), "the book has no example in {language}");
    blocks.concat().replace("http://127.0.0.1:7700", &server.base)
}

/// The shop of the tutorial.
fn tutorial() -> House {
    let house = House::new();
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/shop");
    let shop = shop.canonicalize().unwrap();
    let shop = shop.to_str().unwrap();
    house.ok(&["apply", "-f", shop]);
    house.ok(&["ingest", "--source", "customers", shop]);
    house.ok(&["ingest", "--source", "orders", shop]);
    house
}

/// Runs the examples of the book as one program, and gives what it prints.
fn printed(command: &mut Command, house: &House) -> String {
    let key = |role: &str| house.ok(&["keys", "create", "--role", role]).trim().to_owned();
    let output = command
        .env("KEY", key("editor"))
        .env("WRITE_KEY", key("write"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_book_in_python() {
    let Some(client) = needs::client("the_book_in_python", "python") else { return };
    let house = tutorial();
    let server = house.serve();
    let program = house.file("book.py", examples("python", &server));
    let mut python = Command::new(client.join("environment/bin/python"));
    let printed = printed(python.arg(program).current_dir(house.path("")), &house);
    for line in [
        "succeeded",
        "{'city': 'Berlin', 'spend': '103.60'}",
        "{'ann': True, 'ben': False}",
        "['ann', 'cho']",
        "invalid unknown name `order`; did you mean `orders`?",
        "2 1",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "no line {line:?} in\n{printed}");
    }
    assert!(house.path("regulars.parquet").is_file());
}

#[test]
fn the_book_in_javascript() {
    let Some(client) = needs::client("the_book_in_javascript", "typescript") else { return };
    let house = tutorial();
    let server = house.serve();
    // Beside the package that it draws in, where node finds it.
    let program = client.join("tests").join(format!("{}-book.mjs", std::process::id()));
    std::fs::write(&program, examples("js", &server)).unwrap();
    let printed = printed(Command::new("node").arg(&program), &house);
    std::fs::remove_file(program).unwrap();
    for line in
        ["succeeded", "true", "ann", "cho", "invalid unknown name `order`; did you mean `orders`?"]
    {
        assert!(printed.lines().any(|printed| printed == line), "no line {line:?} in\n{printed}");
    }
}

#[test]
fn packages_have_the_version_of_the_program() {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients");
    let line = |file: &str, before: &str| {
        let text = std::fs::read_to_string(clients.join(file)).unwrap();
        let found = text.lines().find_map(|line| line.trim().strip_prefix(before)).unwrap();
        found.trim_matches([' ', ',', '"']).to_owned()
    };
    assert_eq!(line("python/pyproject.toml", "version = "), env!("CARGO_PKG_VERSION"));
    assert_eq!(line("typescript/package.json", "\"version\": "), env!("CARGO_PKG_VERSION"));
}
