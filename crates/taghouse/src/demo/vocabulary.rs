//! The words that the shop's files are written in.

pub(super) const CATEGORIES: [&str; 12] = [
    "audio",
    "bags",
    "books",
    "camping",
    "garden",
    "kitchen",
    "lighting",
    "outdoor",
    "shoes",
    "stationery",
    "toys",
    "wine",
];

pub(super) const DEVICES: [&str; 3] = ["mobile", "desktop", "tablet"];
pub(super) const DEVICE_WEIGHTS: [u32; 3] = [58, 34, 8];

pub(super) const CHANNELS: [&str; 6] = ["direct", "search", "email", "social", "ads", "affiliate"];
pub(super) const CHANNEL_WEIGHTS: [u32; 6] = [30, 28, 14, 12, 11, 5];

/// The first channel that campaigns run on: email and those after it.
pub(super) const FIRST_PAID_CHANNEL: u8 = 2;

/// The campaign of each month of the year.
pub(super) const CAMPAIGNS: [&str; 12] = [
    "winter_sale",
    "valentine",
    "spring",
    "easter",
    "mothers_day",
    "summer",
    "holidays",
    "back_to_school",
    "autumn",
    "halloween",
    "black_week",
    "christmas",
];

/// What people search for; with commas and quotes, as people do.
pub(super) const QUERIES: [&str; 12] = [
    "running shoes",
    "desk lamp, warm",
    "tent 2 persons",
    "\"french press\"",
    "kids' puzzle",
    "rucksack 30l",
    "red wine, dry",
    "notebook a5",
    "headphones",
    "grill",
    "cookbook, vegan",
    "27\" lamp shade",
];

/// Countries with how many of a hundred users live there, and their cities, the largest first.
pub(super) const COUNTRIES: [(&str, u32, [&str; 4]); 10] = [
    ("DE", 46, ["Berlin", "Hamburg", "München", "Köln"]),
    ("AT", 10, ["Wien", "Graz", "Linz", "Salzburg"]),
    ("CH", 8, ["Zürich", "Genève", "Basel", "Bern"]),
    ("FR", 10, ["Paris", "Lyon", "Marseille", "Lille"]),
    ("NL", 8, ["Amsterdam", "Rotterdam", "Utrecht", "Den Haag"]),
    ("PL", 6, ["Warszawa", "Kraków", "Łódź", "Wrocław"]),
    ("IT", 5, ["Roma", "Milano", "Torino", "Napoli"]),
    ("ES", 4, ["Madrid", "Barcelona", "Valencia", "Sevilla"]),
    ("DK", 2, ["København", "Aarhus", "Odense", "Aalborg"]),
    ("CN", 1, ["上海", "北京", "深圳", "广州"]),
];

pub(super) const CITY_WEIGHTS: [u32; 4] = [50, 25, 15, 10];

pub(super) const GENDERS: [&str; 4] = ["female", "male", "other", ""];
pub(super) const GENDER_WEIGHTS: [u32; 4] = [47, 41, 2, 10];

pub(super) const PLANS: [&str; 3] = ["basic", "plus", "family"];
pub(super) const PLAN_WEIGHTS: [u32; 3] = [72, 20, 8];
