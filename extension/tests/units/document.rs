use super::*;

fn parse(text: &str) -> Result<Members, Fault> {
    Members::parse(text, &Path::root("changes"))
}

#[test]
fn members_keep_their_order() {
    let members = parse(r#"{"b": 1, "a": 2, "c": 3}"#).unwrap();
    let names: Vec<&str> = members.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

#[test]
fn paths_read_like_the_document() {
    let root = Path::root("changes");
    let (size, add) = (root.member("size"), "add");
    assert_eq!(size.member(add).item(1).to_string(), "changes.size.add[1]");
    let longest = "ü".repeat(63);
    let whole = root.member(&longest).to_string();
    assert_eq!(whole, format!("changes.{longest}"));
    let longer = "ü".repeat(64);
    let cut = root.member(&longer).to_string();
    assert_eq!(cut, format!("changes.{longest}..."));
}

#[test]
fn only_an_object_is_a_document() {
    for text in ["[]", "null", "7", r#""{}""#] {
        assert_eq!(parse(text).unwrap_err(), no_object(&Path::root("changes")));
    }
}

#[test]
fn depth_is_limited_and_the_place_named() {
    let nested = |levels| format!(r#"{{"a": {}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(parse(&nested(DEEPEST)).is_ok());
    let fault = parse(&nested(DEEPEST + 1)).unwrap_err();
    assert_eq!(fault.path, format!("changes.a{}", "[0]".repeat(DEEPEST)));
    // Deeper than serde_json parses: only the argument can be named.
    assert_eq!(parse(&nested(1_000)).unwrap_err().path, "changes");
}

#[test]
fn size_is_limited() {
    let wide = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!(r#""c{n}": 1"#)).collect();
        parse(&format!("{{{}}}", members.join(",")))
    };
    assert!(wide(MOST_MEMBERS).is_ok());
    let fault = wide(MOST_MEMBERS + 1).unwrap_err();
    assert!(fault.problem.contains("1601 members"));
}
