//! An app whose crowd is what was imported last, and activations of it.
#![allow(dead_code, unreachable_pub, reason = "a module of a test binary")]

use crate::driver::{House, Server, eventually};
use serde_json::Value;
use std::collections::BTreeSet;

/// Users `u0` to `u99`: `uN` has N orders; those whose number is a multiple of ten did not agree.
const APP: &str = "
kind: app
id: shop
time_zone: UTC
---
kind: source
name: people
format: csv
user_id: user
attributes:
  orders: { column: orders, type: int }
  agreed: { column: agreed, type: bool }
  spend: { column: spend, type: decimal, scale: 2 }
---
{kind: tag, name: orders, type: int, attribute: orders}
---
{kind: tag, name: agreed, type: bool, attribute: agreed}
---
{kind: tag, name: spend, type: decimal, scale: 2, attribute: spend}
---
{kind: crowd, name: listed, import: {}}
---
{kind: crowd, name: blocked, ids: [u3, u5]}
---
{kind: crowd, name: everyone, expression: 'orders >= 0'}
";

pub struct World {
    pub house: House,
    pub server: Option<Server>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl World {
    /// The app with these activations, produced, and a server; `listed` is not imported.
    pub fn open(activations: &str, environment: &[(&str, &str)]) -> Self {
        Self::of_users(100, activations, environment)
    }

    pub fn of_users(users: usize, activations: &str, environment: &[(&str, &str)]) -> Self {
        let house = House::new();
        let flags = vec![
            "--activation-dir".to_owned(),
            house.path("out").display().to_string(),
            "--webhook-networks".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(owned).collect();
        let mut world = Self { house, server: None, flags, environment };
        world.apply(activations);
        let row = |n: usize| {
            let agreed = !n.is_multiple_of(10);
            format!("u{n},{n},{agreed},{n}.50\n")
        };
        let rows: String = (0..users).map(row).collect();
        let file = world.house.file("in/people.csv", format!("user,orders,agreed,spend\n{rows}"));
        world.house.ok(&["ingest", "--source", "people", file.to_str().unwrap()]);
        world.house.ok(&["produce"]);
        world.serve();
        world
    }

    pub fn apply(&self, activations: &str) {
        let file = self.house.file("app.yaml", format!("{APP}---\n{activations}"));
        self.house.ok(&["apply", "--prune", "-f", file.to_str().unwrap()]);
    }

    pub fn serve(&mut self) {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--land-every", "0.1"], &flags[..]];
        let mut command = self.house.command(&arguments.concat());
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        self.server = Some(Server::of(command, &self.house.path("serve.stderr")).unwrap());
    }

    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// What is in `listed` from now on.
    pub fn import(&self, users: impl IntoIterator<Item = usize>) {
        let ids: String = users.into_iter().map(|n| format!("u{n}\n")).collect();
        let file = self.house.file("list.csv", ids);
        self.house.ok(&["import", "listed", file.to_str().unwrap(), "--no-header"]);
    }

    /// Sends an activation, and gives its report.
    pub fn activate(&self, name: &str) -> Value {
        self.house.json(&["activate", name, "--wait"])["delivery"].clone()
    }

    pub fn out(&self, file: &str) -> String {
        String::from_utf8(self.bytes(file)).unwrap()
    }

    pub fn bytes(&self, file: &str) -> Vec<u8> {
        let path = self.house.path("out/shop").join(file);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The last delivery of an activation, as the list has it; `Null`: there is none.
    pub fn last(&self, name: &str) -> Value {
        self.listed(name)["last"].clone()
    }

    pub fn listed(&self, name: &str) -> Value {
        let all = self.house.json(&["activations"]);
        let all = all["activations"].as_array().unwrap().clone();
        all.into_iter().find(|activation| activation["name"] == name).unwrap()
    }

    /// Waits for a delivery that succeeded, of this version.
    pub fn delivered(&self, name: &str, version: u64) -> Value {
        eventually("a delivery", || {
            let last = self.last(name);
            (last["state"] == "succeeded" && last["version"] == version).then_some(last)
        })
    }
}

pub fn users(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(|n| format!("u{n}")).collect()
}

pub fn count(delivery: &Value, what: &str) -> u64 {
    delivery[what].as_u64().unwrap_or_else(|| panic!("{what} of {delivery}"))
}
