//! A program that depends on the published client: what the client needs must not change what its users' types do.

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Volume {
        id: u64,
        #[serde(flatten)]
        state: State,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "state")]
    enum State {
        Extending { size: f64, target: u64 },
    }

    /// With `serde_json/arbitrary_precision`, which holds for the whole program, numbers in these are maps.
    #[test]
    fn flattened_and_tagged_types_have_numbers() {
        let volume = Volume { id: 17, state: State::Extending { size: 1.5, target: 2 } };
        let text = serde_json::to_string(&volume).unwrap();
        assert_eq!(serde_json::from_str::<Volume>(&text).unwrap(), volume);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::from_value::<Volume>(value).unwrap(), volume);
    }

    /// A number as a caller of the client writes it arrives with every digit.
    #[test]
    fn numbers_keep_their_digits() {
        let exact = serde_json::value::RawValue::from_string("0.12345678901234567890123".to_owned()).unwrap();
        let volguard = volguard::Volguard::builder().url("host=nowhere").lazy().unwrap();
        let built = volguard.update("volumes").set("size", exact).documents().unwrap();
        assert_eq!(built.changes.get(), r#"{"size":0.12345678901234567890123}"#);
    }
}
