//! A table of PostgreSQL as a destination: a row for each member.
//!
//! ```text
//! TABLE              app, crowd, the user id, version, delivery, a column for each field
//! TABLE_deliveries   what of each activation is in TABLE
//! TABLE_d…, …_left   users of a delivery that has not ended: who entered, who left; dropped with it
//! ```
//!
//! Pieces are copied into a table of their own. At the end, one transaction puts them into the place of
//! what is there, so nobody sees half of a delivery.

use crate::target::text;
use crate::{Change, Error, Failed, Member, Order, Piece, Result, Target, Totals};
use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::str::FromStr;
use std::time::Duration;
use taghouse_model::ValueType;
use taghouse_rules::{PostgresqlDestination, SettingOf};
use taghouse_sink::Secrets;

const PLACE: &str = "PostgreSQL";

/// Users that are copied at a time.
const PIECE: usize = 5000;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A table during one delivery.
pub struct PostgresqlTarget {
    to: PostgresqlDestination,
    order: Order,
    connection: Option<PgConnection>,
}

/// What a database says: whether it is about the data that was sent.
enum Broken {
    /// A value that its column does not take.
    Data(String),
    Other(Error),
}

impl PostgresqlTarget {
    /// A delivery to PostgreSQL. Nothing is connected.
    pub fn new(to: &PostgresqlDestination, order: Order) -> Self {
        Self { to: to.clone(), order, connection: None }
    }

    async fn connect(&mut self) -> Result<&mut PgConnection> {
        if self.connection.is_none() {
            let to = self.to.clone();
            let url = taghouse_disk::blocking::<_, Error>(move || {
                Ok(Secrets::of_process(SettingOf::Activation).resolved("url", &to.url)?)
            })
            .await?;
            // What the client says of a wrong address may hold the password.
            let wrong = |_| {
                Error::Refused {
                place: PLACE,
                detail: "the setting `url` is not an address such as postgresql://user:password@host:5432/database"
                    .to_owned(),
            }
            };
            let options = PgConnectOptions::from_str(url.trim()).map_err(wrong)?;
            let options = options.application_name("taghouse");
            let connecting = PgConnection::connect_with(&options);
            let connection = match tokio::time::timeout(CONNECT, connecting).await {
                Ok(connection) => connection.map_err(|error| failed(&error))?,
                Err(_) => {
                    let detail = format!("no connection within {} s", CONNECT.as_secs());
                    return Err(Error::Unavailable { place: PLACE, detail, wait: None });
                }
            };
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(Error::NotBegun)
    }

    fn named(&self, table: &str) -> String {
        match &self.to.schema {
            Some(schema) => format!("\"{schema}\".\"{table}\""),
            None => format!("\"{table}\""),
        }
    }

    fn table(&self) -> String {
        self.named(&self.to.table)
    }

    fn deliveries(&self) -> String {
        self.named(&format!("{}_deliveries", self.to.table))
    }

    /// How the names of an activation's tables begin.
    fn prefix(&self) -> String {
        let of = format!("{}/{}", self.order.app, self.order.activation);
        format!("{}_d{:08x}_", self.to.table, xxhash_rust::xxh3::xxh3_64(of.as_bytes()) as u32)
    }

    fn waiting_name(&self) -> String {
        format!("{}{}", self.prefix(), self.order.number)
    }

    fn waiting(&self) -> String {
        self.named(&self.waiting_name())
    }

    fn leaving(&self) -> String {
        self.named(&format!("{}_left", self.waiting_name()))
    }

    /// The columns that are sent, quoted, with commas.
    fn columns(&self) -> String {
        let names = std::iter::once(self.order.id.as_str());
        let names = names.chain(self.order.columns.iter().map(|column| column.name.as_str()));
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }

    async fn execute(&mut self, sql: String) -> Result<()> {
        let connection = self.connect().await?;
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// A connection is not used again after an error.
    fn broken(&mut self, error: &sqlx::Error) -> Error {
        self.connection = None;
        failed(error)
    }

    /// Whether there is a table of this name.
    async fn is_there(&mut self, table: &str) -> Result<bool> {
        let name = self.named(table);
        let connection = self.connect().await?;
        let found = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(name);
        match found.fetch_one(connection).await.and_then(|row| row.try_get(0)) {
            Ok(found) => Ok(found),
            Err(error) => Err(self.broken(&error)),
        }
    }

    async fn held(&mut self) -> Result<Option<i64>> {
        if !self.is_there(&format!("{}_deliveries", self.to.table)).await? {
            return Ok(None);
        }
        let sql = format!(
            "SELECT delivery FROM {} WHERE app = $1 AND activation = $2",
            self.deliveries()
        );
        let (app, activation) = (self.order.app.to_string(), self.order.activation.to_string());
        let connection = self.connect().await?;
        let found = sqlx::query(AssertSqlSafe(sql)).bind(app).bind(activation);
        match found.fetch_optional(connection).await {
            Ok(row) => Ok(row.and_then(|row| row.try_get(0).ok())),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Makes the tables that are not there, and the columns.
    async fn make_tables(&mut self) -> Result<()> {
        let mut sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (app text NOT NULL, crowd text NOT NULL, \"{}\" text NOT NULL, \
             version bigint NOT NULL, delivery bigint NOT NULL, PRIMARY KEY (app, crowd, \"{}\"));\n",
            self.table(),
            self.order.id,
            self.order.id
        );
        sql += &format!(
            "CREATE TABLE IF NOT EXISTS {} (app text, activation text, crowd text NOT NULL, version bigint NOT NULL, \
             delivery bigint NOT NULL, members bigint NOT NULL, ended_at timestamptz NOT NULL, PRIMARY KEY (app, activation));\n",
            self.deliveries()
        );
        self.execute(sql).await?;
        let there = self.columns_there().await?;
        let missing: Vec<String> = self
            .order
            .columns
            .iter()
            .filter(|column| !there.contains(&column.name))
            .map(|column| format!("ADD COLUMN \"{}\" {}", column.name, type_of(column.value_type)))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.execute(format!("ALTER TABLE {} {}", self.table(), missing.join(", "))).await
    }

    async fn columns_there(&mut self) -> Result<Vec<String>> {
        let sql = "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let table = self.table();
        let connection = self.connect().await?;
        match sqlx::query(sql).bind(table).fetch_all(connection).await {
            Ok(rows) => Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Drops what deliveries left behind that never ended.
    async fn drop_waiting(&mut self) -> Result<()> {
        let (prefix, own) = (self.prefix(), self.waiting_name());
        let schema = self.to.schema.clone();
        let connection = self.connect().await?;
        let sql = "SELECT tablename::text FROM pg_tables WHERE starts_with(tablename::text, $1) AND tablename NOT IN ($2, $2 || '_left') \
                   AND schemaname = coalesce($3, current_schema())";
        let found = sqlx::query(sql).bind(prefix).bind(own).bind(schema);
        let tables: Vec<String> = match found.fetch_all(connection).await {
            Ok(rows) => rows.iter().filter_map(|row| row.try_get(0).ok()).collect(),
            Err(error) => return Err(self.broken(&error)),
        };
        for table in tables {
            self.execute(format!("DROP TABLE IF EXISTS {}", self.named(&table))).await?;
        }
        Ok(())
    }

    /// Copies users. All of them, or none.
    async fn copy(
        &mut self,
        change: Change,
        members: &[Member],
    ) -> std::result::Result<(), Broken> {
        let (into, columns) = match change {
            Change::Entered => (self.waiting(), self.columns()),
            Change::Left => (self.leaving(), format!("\"{}\"", self.order.id)),
        };
        let sql = format!("COPY {into} ({columns}) FROM STDIN (FORMAT csv)");
        let rows = csv_rows(&self.order, change, members);
        let connection = self.connect().await.map_err(Broken::Other)?;
        let copied = async {
            let mut copy = connection.copy_in_raw(&sql).await?;
            copy.send(rows.as_bytes()).await?;
            copy.finish().await
        };
        match copied.await {
            Ok(_) => Ok(()),
            Err(error) => match about_data(&error) {
                Some(reason) => Err(Broken::Data(reason)),
                None => Err(Broken::Other(self.broken(&error))),
            },
        }
    }

    /// The statements that put a delivery into the place of what is there; the last but two inserts.
    fn ending(&self, totals: Totals) -> String {
        let Order { app, activation, crowd, version, number, since, id, .. } = &self.order;
        let (table, columns) = (self.table(), self.columns());
        let (waiting, leaving) = (self.waiting(), self.leaving());
        // Names are letters, digits, _ and -: none can end a text.
        let of = format!("app = '{app}' AND crowd = '{crowd}'");
        let replaced = match since {
            None => String::new(),
            Some(_) => format!(
                " AND \"{id}\" IN (SELECT \"{id}\" FROM {waiting} UNION ALL SELECT \"{id}\" FROM {leaving})"
            ),
        };
        format!(
            "DELETE FROM {table} WHERE {of}{replaced};\n\
             INSERT INTO {table} (app, crowd, version, delivery, {columns}) \
             SELECT DISTINCT ON (\"{id}\") '{app}', '{crowd}', {version}, {number}, {columns} FROM {waiting};\n\
             INSERT INTO {deliveries} VALUES ('{app}', '{activation}', '{crowd}', {version}, {number}, {members}, now()) \
             ON CONFLICT (app, activation) DO UPDATE SET crowd = excluded.crowd, version = excluded.version, \
             delivery = excluded.delivery, members = excluded.members, ended_at = excluded.ended_at;\n\
             DROP TABLE {waiting}, {leaving};",
            deliveries = self.deliveries(),
            members = totals.members,
        )
    }
}

#[async_trait]
impl Target for PostgresqlTarget {
    fn piece_size(&self) -> usize {
        PIECE
    }

    fn resumes(&self) -> bool {
        true
    }

    fn is_whole(&self) -> bool {
        true
    }

    async fn holds(&mut self, delivery: u64) -> Result<bool> {
        Ok(self.held().await? == i64::try_from(delivery).ok())
    }

    async fn begin(&mut self) -> Result<bool> {
        self.make_tables().await?;
        self.drop_waiting().await?;
        let held = self.held().await?;
        // It ended, and nobody was told.
        if held == i64::try_from(self.order.number).ok() {
            return Ok(true);
        }
        if let Some(since) = self.order.since
            && held != i64::try_from(since).ok()
        {
            let detail = format!("{} does not hold delivery {since} any more", self.to.table);
            return Err(Error::Lost { place: PLACE, detail });
        }
        if self.is_there(&self.waiting_name()).await? {
            return Ok(true);
        }
        // As the table has them: what it does not take is told of its row.
        let Order { app, crowd, version, number, id, .. } = &self.order;
        let sql = format!(
            "CREATE TABLE {waiting} (LIKE {table} INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING GENERATED);\n\
             ALTER TABLE {waiting} ALTER COLUMN app SET DEFAULT '{app}', ALTER COLUMN crowd SET DEFAULT '{crowd}', \
             ALTER COLUMN version SET DEFAULT {version}, ALTER COLUMN delivery SET DEFAULT {number};\n\
             CREATE TABLE {leaving} (\"{id}\" text NOT NULL);",
            waiting = self.waiting(),
            leaving = self.leaving(),
            table = self.table(),
        );
        self.execute(sql).await?;
        Ok(false)
    }

    async fn send(&mut self, piece: Piece<'_>) -> Result<Vec<Failed>> {
        let mut failed = Vec::new();
        let mut waiting = vec![piece.members];
        while let Some(members) = waiting.pop() {
            match (self.copy(piece.change, members).await, members) {
                (Ok(()), _) => {}
                (Err(Broken::Other(error)), _) => return Err(error),
                (Err(Broken::Data(reason)), [member]) => failed.push(Failed {
                    user_id: member.user_id.clone(),
                    change: piece.change,
                    reason,
                }),
                (Err(Broken::Data(_)), _) => {
                    let (one, other) = members.split_at(members.len() / 2);
                    waiting.extend([other, one]);
                }
            }
        }
        Ok(failed)
    }

    async fn finish(&mut self, totals: Totals) -> Result<()> {
        if self.held().await? == i64::try_from(self.order.number).ok() {
            return Ok(());
        }
        let sql = self.ending(totals);
        let connection = self.connect().await?;
        let ended = async {
            let mut transaction = connection.begin().await?;
            let mut inserted = 0;
            for (i, statement) in sql.split(";\n").enumerate() {
                let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
                let done = statement.execute(&mut *transaction).await?;
                if i == 1 {
                    inserted = done.rows_affected();
                }
            }
            if inserted == totals.entered {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok::<_, sqlx::Error>(inserted)
        };
        match ended.await {
            Ok(inserted) if inserted == totals.entered => Ok(()),
            Ok(inserted) => {
                // Somebody has changed the table: it is filled again.
                let (waiting, leaving) = (self.waiting(), self.leaving());
                self.execute(format!("DROP TABLE {waiting}, {leaving}")).await?;
                let detail = format!("{inserted} rows of {} are there", totals.entered);
                Err(Error::Lost { place: PLACE, detail })
            }
            Err(error) => Err(self.broken(&error)),
        }
    }
}

fn type_of(value_type: ValueType) -> String {
    match value_type {
        ValueType::Bool => "boolean".to_owned(),
        ValueType::Int => "bigint".to_owned(),
        ValueType::Decimal { scale } => format!("numeric(38, {scale})"),
        ValueType::Date => "date".to_owned(),
        ValueType::Time => "timestamptz".to_owned(),
        ValueType::Text => "text".to_owned(),
        ValueType::Set => "jsonb".to_owned(),
    }
}

/// As COPY reads them: what stands in quotes is a text, and nothing is no value.
fn csv_rows(order: &Order, change: Change, members: &[Member]) -> String {
    let mut rows = String::new();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    for Member { user_id, values, .. } in members {
        rows.push_str(&quoted(user_id));
        let columns = if change == Change::Left { 0 } else { order.columns.len() };
        for i in 0..columns {
            rows.push(',');
            if let Some(value) = values.get(i).and_then(Option::as_ref) {
                rows.push_str(&quoted(&text(value)));
            }
        }
        rows.push('\n');
    }
    rows
}

/// What a database says of the values that it was sent; `None`: it is about something else.
fn about_data(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    let class = error.code()?.get(..2)?.to_owned();
    ["22", "23"].contains(&class.as_str()).then(|| error.message().to_owned())
}

/// A database that is starting, full or away may be another one soon; a statement that it refuses will
/// not.
fn failed(error: &sqlx::Error) -> Error {
    let detail = match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    let class = error.as_database_error().and_then(|error| error.code());
    let class = class.as_deref().and_then(|code| code.get(..2)).unwrap_or_default();
    match class {
        // Syntax and names; rights; features.
        "42" | "0A" | "3F" | "22" | "23" => Error::Refused { place: PLACE, detail },
        _ => Error::Unavailable { place: PLACE, detail, wait: None },
    }
}
