use super::*;

const MOST: usize = 10;

fn read(text: &str) -> Result<Vec<Listed>, Fault> {
    parse(text, MOST)
}

/// The path and the problem of the error.
fn fault(text: &str) -> (String, String) {
    let fault = read(text).expect_err(text);
    assert!(!fault.hint.is_empty(), "{text}");
    (fault.path, fault.problem)
}

fn assert_fault(text: &str, path: &str, problem: &str) {
    assert_eq!(fault(text), (path.to_owned(), problem.to_owned()), "{text}");
}

#[test]
fn a_lock_is_read() {
    let lock = &read(
        r#"[{"resource_type": "t", "resource_id": "r", "lock_name": "l", "status": "s", "details": [{"lock_name": 7}]}]"#,
    )
    .unwrap()[0];
    let expected = Listed {
        resource_type: "t".to_owned(),
        resource_id: "r".to_owned(),
        lock_name: "l".to_owned(),
        status: Some("s".to_owned()),
        details: Some(r#"[{"lock_name":7}]"#.to_owned()),
        tracked_in: None,
    };
    assert_eq!(*lock, expected);
}

#[test]
fn no_lock_twice() {
    let list = |member: &str| {
        format!(
            r#"[{{"resource_type": "t", "resource_id": "r"}}, {{"resource_type": "t", "resource_id": "r"{member}}}]"#
        )
    };
    for member in ["", r#", "lock_name": """#, r#", "lock_name": null"#, r#", "status": "s""#] {
        assert_fault(&list(member), "locks[1]", "is the same lock as locks[0]");
    }
    assert!(read(&list(r#", "lock_name": "l""#)).is_ok());
}

#[test]
fn a_list_is_a_list() {
    for text in ["{}", "null", "7", r#""[]""#] {
        assert_fault(text, "locks", "must be a list");
    }
    assert_fault("[]", "locks", "must not be empty");
    for item in ["7", "null", "[]", r#""v""#] {
        let text = format!(r#"[{{"resource_type": "t", "resource_id": "r"}}, {item}]"#);
        assert_fault(&text, "locks[1]", "must be an object");
    }
}

#[test]
fn members_are_known_strings() {
    assert_fault("[{}]", "locks[0].resource_type", "is missing");
    assert_fault(r#"[{"resource_type": "t"}]"#, "locks[0].resource_id", "is missing");
    for (member, value) in
        [("resource_type", "null"), ("resource_id", "7"), ("lock_name", "[]"), ("status", "true"), ("status", "{}")]
    {
        assert_fault(&with(member, value), &format!("locks[0].{member}"), "must be a string");
    }
    assert_fault(&with("owner", "1"), "locks[0].owner", "unknown member");
}

#[test]
fn names_are_neither_empty_nor_too_long() {
    for (member, longest) in [("resource_type", 255), ("resource_id", 1024), ("lock_name", 255), ("status", 255)] {
        let path = format!("locks[0].{member}");
        let name = |length| with(member, &format!("{:?}", "n".repeat(length)));
        assert!(read(&name(longest)).is_ok(), "{member}");
        let problem = format!("is {} bytes long; {longest} are allowed", longest + 1);
        assert_fault(&name(longest + 1), &path, &problem);
        match member {
            "lock_name" => assert!(read(&name(0)).is_ok()),
            _ => assert_fault(&name(0), &path, "must not be empty"),
        }
    }
}

/// A list of one lock with that member, beside the required ones.
fn with(member: &str, value: &str) -> String {
    let others = ["resource_type", "resource_id"]
        .into_iter()
        .filter(|other| *other != member)
        .map(|other| format!(r#""{other}": "x", "#))
        .collect::<String>();
    format!(r#"[{{{others}"{member}": {value}}}]"#)
}

#[test]
fn one_operation_a_resource() {
    let list = |second: &str| {
        format!(
            r#"[{{"resource_type": "t", "resource_id": "r", "lock_name": "a", "status": "s"}},
                {{"resource_type": "t", "resource_id": "r", "lock_name": "b"{second}}}]"#
        )
    };
    assert!(read(&list("")).is_ok());
    assert_fault(&list(r#", "status": "s""#), "locks[1].status", "locks[0] has the work slot of that resource");
}

#[test]
fn a_status_counts_twice() {
    let list = |locks: usize, status: &str| {
        let lock = |at| format!(r#"{{"resource_type": "t", "resource_id": "{at}", "status": {status}}}"#);
        format!("[{}]", (0..locks).map(lock).collect::<Vec<_>>().join(", "))
    };
    assert!(read(&list(MOST, "null")).is_ok());
    assert!(read(&list(MOST / 2, r#""s""#)).is_ok());
    for (locks, status) in [(MOST + 1, "null"), (MOST / 2 + 1, r#""s""#)] {
        let (path, problem) = fault(&list(locks, status));
        assert_eq!(path, "locks");
        let expected = format!("holds {locks} locks; 10 are allowed, where one with a status counts as two");
        assert_eq!(problem, expected);
    }
}

#[test]
fn details_too_deep_are_refused() {
    let nested = |levels: usize| {
        let details = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        with("details", &details)
    };
    assert!(read(&nested(100)).is_ok());
    assert_eq!(fault(&nested(1_000)).0, "locks");
}
