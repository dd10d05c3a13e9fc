use crate::conditional_update::grammar::*;

mod conditions;
mod filters;
mod values;

fn members(text: &str, argument: &'static str) -> Members {
    Members::parse(text, &Path::root(argument)).unwrap()
}

fn condition_of(text: &str) -> Result<Condition, Fault> {
    let mut read = expectations(
        members(&format!(r#"{{"c": {text}}}"#), "expected"),
        &Path::root("expected"),
    )?;
    match read.remove(0).1 {
        Expectation::Scalar(condition) => Ok(condition),
        Expectation::Composed { condition, .. } => condition,
    }
}

fn filter_of(text: &str) -> Result<Filter, Fault> {
    filter(members(text, "filter"), &Path::root("filter"))
}

fn value_of(text: &str) -> Result<Expression, Fault> {
    let mut read = changes(
        members(&format!(r#"{{"c": {text}}}"#), "changes"),
        &Path::root("changes"),
    )?;
    Ok(read.remove(0).1)
}

fn text(text: &str) -> Scalar {
    Some(Literal::Text(text.to_owned()))
}

fn number(digits: &str) -> Literal {
    Literal::Number(digits.to_owned())
}

/// Each document is refused at the place that stands beside it.
fn refused<T: std::fmt::Debug>(
    read: impl Fn(&str) -> Result<T, Fault>,
    cases: &[(&str, &str, &str)],
) {
    for (document, path, problem) in cases {
        let fault = read(document).expect_err(document);
        assert_eq!(
            (fault.path.as_str(), fault.problem.as_str()),
            (*path, *problem),
            "{document}"
        );
        assert!(!fault.hint.is_empty(), "{document}");
    }
}

#[test]
fn a_key_is_made_of_scalars() {
    let key_of = |text: &str| key(members(text, "key"), &Path::root("key"));
    assert_eq!(
        key_of(r#"{"id": "v1", "deleted_at": null}"#),
        Ok(vec![
            ("id".to_owned(), text("v1")),
            ("deleted_at".to_owned(), None)
        ])
    );
    refused(
        key_of,
        &[
            (r#"{"id": ["v1"]}"#, "key.id", "must not be a list"),
            (
                r#"{"a": 1, "id": {"not": "v1"}}"#,
                "key.id",
                "must not be an object",
            ),
        ],
    );
}

#[test]
fn columns_keep_the_order_of_the_document() {
    let read = expectations(
        members(r#"{"b": 1, "a": 2}"#, "expected"),
        &Path::root("expected"),
    )
    .unwrap();
    let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}
