//! CSV read back, and the rules of FOCUS 1.2 it has to keep (specification of 2025-05-29).

use std::collections::{BTreeMap, BTreeSet};

pub type Record = BTreeMap<String, String>;

/// Reads CSV as RFC 4180 has it: a header, CRLF at each end of a record.
#[track_caller]
pub fn rows(text: &str) -> Vec<Record> {
    let mut records: Vec<Vec<String>> = vec![vec![String::new()]];
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let field = records.last_mut().unwrap().last_mut().unwrap();
        match (quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => {
                field.push(characters.next().unwrap())
            }
            (true, '"') => quoted = false,
            (true, other) => field.push(other),
            (false, '"') => {
                assert!(field.is_empty(), "a quote inside {field:?}");
                quoted = true;
            }
            (false, ',') => records.last_mut().unwrap().push(String::new()),
            (false, '\r') => {
                assert_eq!(characters.next(), Some('\n'));
                records.push(vec![String::new()]);
            }
            (false, other) => {
                assert_ne!(other, '\n', "a line feed alone");
                field.push(other);
            }
        }
    }
    assert!(!quoted);
    assert_eq!(records.pop().unwrap(), [""], "ends with a line end");
    let header = records.remove(0);
    let row = |fields: Vec<String>| {
        assert_eq!(fields.len(), header.len());
        header.iter().cloned().zip(fields).collect()
    };
    records.into_iter().map(row).collect()
}

/// Feature level "Mandatory", with whether nulls are allowed.
const MANDATORY: [(&str, bool); 24] = [
    ("BilledCost", false),
    ("BillingAccountId", false),
    ("BillingAccountName", true),
    ("BillingCurrency", false),
    ("BillingPeriodEnd", false),
    ("BillingPeriodStart", false),
    ("ChargeCategory", false),
    ("ChargeClass", true),
    ("ChargeDescription", true),
    ("ChargePeriodEnd", false),
    ("ChargePeriodStart", false),
    ("ContractedCost", false),
    ("EffectiveCost", false),
    ("InvoiceIssuerName", false),
    ("ListCost", false),
    ("PricingQuantity", true),
    ("PricingUnit", true),
    ("ProviderName", false),
    ("PublisherName", false),
    ("ServiceCategory", false),
    ("ServiceName", false),
    // Recommended, and never null where they are there.
    ("ChargeFrequency", false),
    ("ServiceSubcategory", false),
    // Recommended; null where no invoice is known.
    ("InvoiceId", true),
];
/// Must not be null where ChargeCategory is "Usage" and ChargeClass is not "Correction".
const OF_USAGE: [&str; 10] = [
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
];
/// What has a value only where a price is known: this is where an unpriced row breaks the rules,
/// because its cost is unknown and 0 would be a lie.
const PRICED: [&str; 7] = [
    "BilledCost",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "x_EffectiveUnitPrice",
];
const DECIMALS: [&str; 10] = [
    "BilledCost",
    "ConsumedQuantity",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "PricingQuantity",
    "x_EffectiveUnitPrice",
    "x_EstimatedCost",
];
const OTHER_COLUMNS: [&str; 5] =
    ["RegionId", "RegionName", "SubAccountId", "SubAccountName", "Tags"];

/// Checks every rule that applies to usage; returns the rows.
#[track_caller]
pub fn assert_focus(text: &str) -> Vec<Record> {
    let header: Vec<&str> = text.split("\r\n").next().unwrap().split(',').collect();
    let names: BTreeSet<&str> = header.iter().copied().collect();
    assert_eq!(names.len(), header.len(), "a column twice");
    let known = MANDATORY.iter().map(|(name, _)| *name).chain(OF_USAGE).chain(OTHER_COLUMNS);
    let known: BTreeSet<&str> = known.chain(["SkuPriceDetails"]).collect();
    for name in &known {
        assert!(names.contains(name), "{name} is missing");
    }
    for name in &names {
        assert!(known.contains(name) || name.starts_with("x_"), "{name} is not a FOCUS column");
    }
    let rows = rows(text);
    let mut prices = BTreeMap::new();
    for row in &rows {
        assert_row(row);
        let id = (row["SkuPriceId"].clone(), row["PricingUnit"].clone());
        // What does not come out even has no price per token: the row is one unit of its own.
        let price = if id.0.ends_with("@mixed") { "" } else { &row["ListUnitPrice"] };
        let priced = (row["SkuId"].clone(), price.to_owned());
        let known = prices.entry(id).or_insert_with(|| priced.clone());
        assert_eq!(known, &priced, "a price id has one SKU and one list price");
    }
    rows
}

#[track_caller]
fn assert_row(row: &Record) {
    let unpriced = row["x_Unpriced"] == "true";
    for (name, nullable) in MANDATORY {
        let exempt = nullable || (unpriced && PRICED.contains(&name));
        assert!(exempt || !row[name].is_empty(), "{name} is null in {row:?}");
    }
    for name in OF_USAGE {
        let exempt = unpriced && PRICED.contains(&name);
        assert!(exempt || !row[name].is_empty(), "{name} is null in {row:?}");
    }
    if unpriced {
        for name in PRICED {
            assert_eq!(row[name], "", "{name}");
        }
    }
    for (name, allowed) in [
        ("BillingCurrency", "USD"),
        ("ChargeCategory", "Usage"),
        ("ChargeClass", ""),
        ("ChargeFrequency", "Usage-Based"),
        ("InvoiceId", ""),
        ("PricingCategory", "Standard"),
        ("ServiceCategory", "AI and Machine Learning"),
        ("ServiceSubcategory", "Generative AI"),
    ] {
        assert_eq!(row[name], allowed, "{name}");
    }
    for name in DECIMALS {
        assert!(row[name].is_empty() || fraction(&row[name]).is_some(), "{name}: {}", row[name]);
    }
    for (price, cost) in [
        ("ContractedUnitPrice", "ContractedCost"),
        ("ListUnitPrice", "ListCost"),
        ("x_EffectiveUnitPrice", "EffectiveCost"),
    ] {
        if !row[price].is_empty() {
            let exact = product(&row[price], &row["PricingQuantity"]) == trimmed(&row[cost]);
            assert!(exact, "{price} × PricingQuantity is not {cost}: {row:?}");
            assert!(!row[price].starts_with('-'), "{price} is negative");
        }
    }
    for name in ["BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"] {
        let moment = &row[name];
        assert!(moment.len() == 20 && moment.ends_with('Z') && &moment[10..11] == "T", "{moment}");
    }
    assert!(row["ChargePeriodStart"] < row["ChargePeriodEnd"]);
    assert!(row["BillingPeriodStart"] <= row["ChargePeriodStart"]);
    assert!(row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]);
    for name in ["SkuPriceDetails", "Tags"] {
        if row[name].is_empty() {
            continue;
        }
        let value: serde_json::Value = serde_json::from_str(&row[name]).unwrap();
        for (key, value) in value.as_object().unwrap() {
            assert!(!value.is_object() && !value.is_array(), "{name}: {key}");
            assert!(name == "Tags" || key.starts_with("x_"), "{name}: {key}");
        }
    }
    for name in ["Region", "SubAccount"] {
        let [id, shown] = ["Id", "Name"].map(|end| row[&format!("{name}{end}")].is_empty());
        assert_eq!(id, shown, "{name}");
    }
    for (name, value) in row {
        assert!(!value.starts_with(['=', '+', '@', '-']), "{name} is a formula: {value}");
    }
}

/// Numerator and decimals of a plain decimal number without a sign; nothing else is one here.
fn fraction(text: &str) -> Option<(u128, usize)> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{decimals}");
    let plain = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let dangling = text.ends_with('.');
    (plain && !dangling).then(|| (digits.parse().unwrap(), decimals.len()))
}

/// The exact product, as digits and decimals without trailing zeros.
fn product(a: &str, b: &str) -> (String, usize) {
    let ((a, a_decimals), (b, b_decimals)) = (fraction(a).unwrap(), fraction(b).unwrap());
    reduced(a.checked_mul(b).unwrap(), a_decimals + b_decimals)
}

fn trimmed(text: &str) -> (String, usize) {
    let (number, decimals) = fraction(text).unwrap();
    reduced(number, decimals)
}

fn reduced(mut number: u128, mut decimals: usize) -> (String, usize) {
    while decimals > 0 && number.is_multiple_of(10) {
        number /= 10;
        decimals -= 1;
    }
    (number.to_string(), decimals)
}
