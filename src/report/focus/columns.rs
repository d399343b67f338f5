//! The columns, and a row's value of each.

use std::fmt::Write as _;

use super::{ESTIMATE, NOT_BROKEN_DOWN, Row, Standing, TOKENS_PER_UNIT, instant};
use crate::accounting::Money;
use crate::report::period;
use crate::report::statement::is_token;
use crate::report::text::csv_field;

/// The columns in their order: those of FOCUS 1.2, then ours with `x_`.
pub const COLUMNS: [&str; 56] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_EffectiveUnitPrice",
    "x_Estimated",
    "x_EstimatedCost",
    "x_EstimatedCostMax",
    "x_Exchanges",
    "x_Instance",
    "x_Model",
    "x_MovedFrom",
    "x_Notional",
    "x_NotionalCost",
    "x_NotionalListCost",
    "x_PricingTableVersion",
    "x_RequestId",
    "x_ServiceTier",
    "x_Speed",
    "x_Team",
    "x_TokenType",
    "x_Unpriced",
];

/// Who sells the model where a request went.
struct Seller {
    provider: &'static str,
    service: &'static str,
}

fn seller(endpoint: &str) -> Seller {
    match endpoint {
        "bedrock" => Seller { provider: "AWS", service: "Amazon Bedrock" },
        "vertex" => Seller { provider: "Google Cloud", service: "Vertex AI" },
        _ => Seller { provider: "Anthropic", service: "Claude API" },
    }
}

/// Costs and prices of a row; absent where they are not known.
struct Figures {
    costs: Option<(Money, Money)>,
    prices: Option<(Money, Money)>,
    quantity: String,
    unit: &'static str,
}

fn figures(row: &Row) -> Figures {
    let sums = &row.sums;
    let whole = |quantity: u64| quantity.to_string();
    let per = row.price.and_then(|price| price.per);
    let (quantity, unit) = match (row.standing, per) {
        (Standing::Billed | Standing::Notional, None) => (whole(1), "Units"),
        (Standing::Estimated, _) => (whole(sums.exchanges), "Requests"),
        _ if is_token(&row.kind) => (millions(sums.quantity), "1000000 Tokens"),
        _ => (whole(sums.quantity), consumed_unit(row)),
    };
    let zero = (Money::ZERO, Money::ZERO);
    let (costs, prices) = match row.standing {
        Standing::Unpriced => (None, None),
        // Nobody is billed for these, as far as is known.
        Standing::Estimated | Standing::Notional => (Some(zero), Some(zero)),
        Standing::Billed => {
            let costs = (sums.usd, sums.list);
            let priced = row.price.filter(|price| price.per.is_some());
            (Some(costs), Some(priced.map_or(costs, |price| (price.contracted, price.list))))
        }
    };
    Figures { costs, prices, quantity, unit }
}

/// Writes a row with its line end.
pub(super) fn write(row: &Row, text: &mut String) {
    for (place, column) in COLUMNS.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        if let Some(value) = value(row, column) {
            text.push_str(&value);
        }
    }
    text.push_str("\r\n");
}

/// A column's field, ready for CSV; `None` is null.
fn value(row: &Row, column: &str) -> Option<String> {
    let figures = figures(row);
    let Seller { provider, service } = seller(&row.endpoint);
    let fixed = |text: &str| Some(text.to_owned());
    let field = |text: &Option<String>| text.as_deref().map(csv_field);
    let money = |amount: Option<Money>| amount.map(|amount| amount.to_string());
    let (cost, price) = (figures.costs, figures.prices);
    match column {
        "BilledCost" | "ContractedCost" | "EffectiveCost" => money(cost.map(|cost| cost.0)),
        "ListCost" => money(cost.map(|cost| cost.1)),
        "ContractedUnitPrice" | "x_EffectiveUnitPrice" => money(price.map(|price| price.0)),
        "ListUnitPrice" => money(price.map(|price| price.1)),
        "PricingQuantity" => Some(figures.quantity),
        "PricingUnit" => fixed(figures.unit),
        "ConsumedQuantity" => Some(match row.standing {
            Standing::Estimated => row.sums.exchanges.to_string(),
            _ => row.sums.quantity.to_string(),
        }),
        "ConsumedUnit" => fixed(consumed_unit(row)),
        "BillingAccountId" | "x_Instance" => Some(csv_field(&row.instance)),
        "BillingCurrency" => fixed("USD"),
        "BillingPeriodStart" => Some(instant(period::month(row.start).0)),
        "BillingPeriodEnd" => Some(instant(period::month(row.start).1)),
        "ChargePeriodStart" => Some(instant(row.start)),
        "ChargePeriodEnd" => Some(instant(row.end)),
        "ChargeCategory" => fixed("Usage"),
        "ChargeFrequency" => fixed("Usage-Based"),
        "ChargeDescription" => Some(csv_field(&description(row))),
        "PricingCategory" => fixed("Standard"),
        "ProviderName" | "InvoiceIssuerName" => fixed(provider),
        "PublisherName" => fixed("Anthropic"),
        "ServiceName" => fixed(service),
        "ServiceCategory" => fixed("AI and Machine Learning"),
        "ServiceSubcategory" => fixed("Generative AI"),
        "RegionId" => region(row).map(csv_field),
        "RegionName" => region(row).map(|region| csv_field(region_name(region))),
        "SkuId" => Some(csv_field(&sku(row))),
        "SkuMeter" => Some(csv_field(&meter(row))),
        "SkuPriceId" => Some(csv_field(&price_id(row, figures.prices.map(|price| price.1)))),
        "SkuPriceDetails" => Some(csv_field(&details(row))),
        "SubAccountId" | "SubAccountName" | "x_Team" => field(&row.team),
        "Tags" => (!row.tags.is_empty()).then(|| csv_field(&object(row.tags.iter().cloned()))),
        _ => own_value(row, column),
    }
}

/// The columns of FOCUS that are always null here, and ours.
fn own_value(row: &Row, column: &str) -> Option<String> {
    let yes_no = |is: Standing| Some(if row.standing == is { "true" } else { "false" }.to_owned());
    let amount = |is: Standing, amount: Money| (row.standing == is).then(|| amount.to_string());
    let field = |text: &Option<String>| text.as_deref().map(csv_field);
    match column {
        "x_Estimated" => yes_no(Standing::Estimated),
        "x_EstimatedCost" => amount(Standing::Estimated, row.sums.usd),
        "x_EstimatedCostMax" => amount(Standing::Estimated, row.sums.most),
        "x_Exchanges" => Some(row.sums.exchanges.to_string()),
        "x_Model" => field(&row.model),
        "x_MovedFrom" => field(&row.moved_from),
        "x_Notional" => yes_no(Standing::Notional),
        "x_NotionalCost" => amount(Standing::Notional, row.sums.usd),
        "x_NotionalListCost" => amount(Standing::Notional, row.sums.list),
        "x_PricingTableVersion" => field(&row.pricing),
        "x_RequestId" => field(&row.sums.request),
        "x_ServiceTier" => field(&row.tier),
        "x_Speed" => field(&row.speed),
        "x_TokenType" => is_token(&row.kind).then(|| row.kind.clone()),
        "x_Unpriced" => yes_no(Standing::Unpriced),
        // BillingAccountName, ChargeClass, InvoiceId: the traffic does not say.
        _ => None,
    }
}

/// What a row counts.
fn consumed_unit(row: &Row) -> &'static str {
    match row.kind.as_str() {
        "code_execution" => "Seconds",
        kind if is_token(kind) => "Tokens",
        _ => "Requests",
    }
}

fn model(row: &Row) -> &str {
    row.model.as_deref().unwrap_or("unknown model")
}

fn description(row: &Row) -> String {
    let what = match row.kind.as_str() {
        ESTIMATE => "Estimate beyond the reported usage, not billed as far as is known".to_owned(),
        NOT_BROKEN_DOWN => "Not broken down".to_owned(),
        _ => meter(row),
    };
    let standing = match row.standing {
        Standing::Notional => " (paid by a subscription)",
        Standing::Unpriced => " (no rate is known)",
        Standing::Billed | Standing::Estimated => "",
    };
    format!("{}: {what}{standing}", model(row))
}

fn sku(row: &Row) -> String {
    format!("{}/{}", model(row), row.kind)
}

fn meter(row: &Row) -> String {
    match row.kind.as_str() {
        "input" => "Input Tokens".to_owned(),
        "output" => "Output Tokens".to_owned(),
        "cache_read" => "Cache Read Tokens".to_owned(),
        "cache_write_5m" => "Cache Write Tokens, 5 Minutes".to_owned(),
        "cache_write_1h" => "Cache Write Tokens, 1 Hour".to_owned(),
        "web_search" => "Web Search Requests".to_owned(),
        "code_execution" => "Code Execution Seconds".to_owned(),
        other => other.to_owned(),
    }
}

/// One list price has one id: it names how the request was served, and the price itself.
fn price_id(row: &Row, list: Option<Money>) -> String {
    let mut id = sku(row);
    for part in [&row.tier, &row.speed, &row.geography].into_iter().flatten() {
        let _ = write!(id, "/{part}");
    }
    let even = row.price.is_none_or(|price| price.per.is_some());
    match (row.standing, list) {
        (Standing::Billed, Some(list)) if even => {
            let _ = write!(id, "@{list}");
        }
        (Standing::Billed, _) => id.push_str("@mixed"),
        (Standing::Notional, _) => id.push_str("@subscription"),
        (Standing::Unpriced, _) => id.push_str("@unknown"),
        (Standing::Estimated, _) => {}
    }
    id
}

fn details(row: &Row) -> String {
    let known = [
        ("x_Model", row.model.as_ref()),
        ("x_ServiceTier", row.tier.as_ref()),
        ("x_Speed", row.speed.as_ref()),
        ("x_InferenceGeo", row.geography.as_ref()),
        ("x_TokenType", Some(&row.kind).filter(|kind| is_token(kind))),
    ];
    object(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.clone()))))
}

/// A flat JSON object of strings.
fn object(pairs: impl Iterator<Item = (String, String)>) -> String {
    serde_json::Value::Object(pairs.map(|(key, value)| (key, value.into())).collect()).to_string()
}

fn region(row: &Row) -> Option<&str> {
    row.geography.as_deref().filter(|geography| *geography != "not_available")
}

fn region_name(region: &str) -> &str {
    match region {
        "us" => "United States",
        "global" => "Global",
        other => other,
    }
}

/// Tokens in millions, exactly.
fn millions(tokens: u64) -> String {
    let per = u64::try_from(TOKENS_PER_UNIT).unwrap_or(1);
    let text = format!("{}.{:06}", tokens / per, tokens % per);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
