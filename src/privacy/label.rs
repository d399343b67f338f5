//! What a finding is: the 18 identifiers of 45 CFR 164.514(b)(2), and secrets.

use std::fmt;

/// The kind of an identifier. `R`, "any other unique code", is [`Label::Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Names of persons.
    Name,
    /// Street addresses and post boxes.
    Address,
    /// Cities, counties and other places below a state.
    Location,
    /// Postal codes, all digits.
    Zip,
    /// Dates but for the year alone.
    Date,
    /// Ages over 89.
    Age,
    /// Telephone and fax numbers.
    Phone,
    /// Electronic mail addresses.
    Email,
    /// Social security numbers and their like.
    Ssn,
    /// Medical record numbers.
    Mrn,
    /// Numbers of health plans, members and policies.
    HealthPlanId,
    /// Accounts and payment cards.
    Account,
    /// Certificates and licences.
    License,
    /// Vehicles and their plates.
    Vehicle,
    /// Devices and their serial numbers.
    Device,
    /// Web addresses.
    Url,
    /// Internet addresses.
    Ip,
    /// Any other unique code.
    Id,
    /// Keys, tokens and passwords: no identifier of a person, and never kept either.
    Secret,
    /// What a pattern of the operator's own found.
    Custom,
}

impl Label {
    /// Every label, in the order of reports.
    pub const ALL: [Label; 20] = [
        Label::Name,
        Label::Address,
        Label::Location,
        Label::Zip,
        Label::Date,
        Label::Age,
        Label::Phone,
        Label::Email,
        Label::Ssn,
        Label::Mrn,
        Label::HealthPlanId,
        Label::Account,
        Label::License,
        Label::Vehicle,
        Label::Device,
        Label::Url,
        Label::Ip,
        Label::Id,
        Label::Secret,
        Label::Custom,
    ];

    /// The name in outputs, labels of metrics and replacements.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Label::Name => "NAME",
            Label::Address => "ADDRESS",
            Label::Location => "LOCATION",
            Label::Zip => "ZIP",
            Label::Date => "DATE",
            Label::Age => "AGE",
            Label::Phone => "PHONE",
            Label::Email => "EMAIL",
            Label::Ssn => "SSN",
            Label::Mrn => "MRN",
            Label::HealthPlanId => "HEALTH_PLAN_ID",
            Label::Account => "ACCOUNT",
            Label::License => "LICENSE",
            Label::Vehicle => "VEHICLE",
            Label::Device => "DEVICE",
            Label::Url => "URL",
            Label::Ip => "IP",
            Label::Id => "ID",
            Label::Secret => "SECRET",
            Label::Custom => "CUSTOM",
        }
    }

    /// What stands in the place of a finding: `[NAME]`. No rule finds anything in it.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Label::Name => "[NAME]",
            Label::Address => "[ADDRESS]",
            Label::Location => "[LOCATION]",
            Label::Zip => "[ZIP]",
            Label::Date => "[DATE]",
            Label::Age => "[AGE]",
            Label::Phone => "[PHONE]",
            Label::Email => "[EMAIL]",
            Label::Ssn => "[SSN]",
            Label::Mrn => "[MRN]",
            Label::HealthPlanId => "[HEALTH_PLAN_ID]",
            Label::Account => "[ACCOUNT]",
            Label::License => "[LICENSE]",
            Label::Vehicle => "[VEHICLE]",
            Label::Device => "[DEVICE]",
            Label::Url => "[URL]",
            Label::Ip => "[IP]",
            Label::Id => "[ID]",
            Label::Secret => "[SECRET]",
            Label::Custom => "[CUSTOM]",
        }
    }

    /// The length in bytes of the placeholder that `text` begins with.
    #[must_use]
    pub fn placeholder_at(text: &str) -> Option<usize> {
        if !text.starts_with('[') {
            return None;
        }
        let found = Label::ALL.iter().find(|label| text.starts_with(label.placeholder()))?;
        Some(found.placeholder().len())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
