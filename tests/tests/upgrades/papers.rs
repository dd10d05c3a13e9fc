//! What is written about a version where it is packaged.

use std::fs;

use serde_json::Value;

use crate::CURRENT;
use crate::shelf::{released, root};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rules of version 1.0.0 of PGXN's specification, as far as they are about what META.json has.
fn mistakes(meta: &Value) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut must = |holds: bool, rule: &str| {
        if !holds {
            mistakes.push(rule.to_owned());
        }
    };
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let texts = |value: &Value| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(text));
    let term = |name: &str| name.len() > 1 && !name.contains(|c: char| c.is_control() || "/\\ ".contains(c));
    let is_version = |value: &Value| {
        let numbers = value.as_str().map(|text| text.split('.').map(str::parse::<u32>).collect::<Vec<_>>());
        numbers.is_some_and(|numbers| numbers.len() == 3 && numbers.iter().all(Result::is_ok))
    };
    must(meta["name"].as_str().is_some_and(term), "name is a term");
    must(is_version(&meta["version"]), "version is semantic");
    must(text(&meta["abstract"]), "abstract is a text");
    must(text(&meta["maintainer"]) || texts(&meta["maintainer"]), "maintainer is a text or a list of texts");
    // Those of the specification that volguard may have.
    let known = |license: &Value| license == "mit" || license == "apache_2_0" || license == "postgresql";
    must(meta["license"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(known)), "license is known");
    must(meta["meta-spec"]["version"] == "1.0.0", "meta-spec has the version of the specification");
    let status = meta["release_status"].as_str();
    must(status.is_none_or(|status| ["stable", "testing", "unstable"].contains(&status)), "release_status is known");
    must(meta["tags"].is_null() || texts(&meta["tags"]), "tags are texts");
    must(
        meta["provides"].as_object().is_some_and(|provides| {
            !provides.is_empty()
                && provides.iter().all(|(name, extension)| {
                    term(name)
                        && is_version(&extension["version"])
                        && extension["file"].as_str().is_some_and(|file| root().join(file).is_file())
                        && (extension["docfile"].is_null()
                            || extension["docfile"].as_str().is_some_and(|file| root().join(file).is_file()))
                })
        }),
        "provides names files that are there, and versions",
    );
    let prereqs = &meta["prereqs"]["runtime"]["requires"];
    must(prereqs.as_object().is_some_and(|all| all.values().all(is_version)), "prerequisites have versions");
    let fields = [
        "name",
        "version",
        "abstract",
        "description",
        "maintainer",
        "license",
        "provides",
        "prereqs",
        "release_status",
        "resources",
        "no_index",
        "tags",
        "generated_by",
        "meta-spec",
    ];
    let all = meta.as_object().map(|meta| meta.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    must(all.iter().all(|field| fields.contains(&field.as_str())), "no other field");
    mistakes
}

#[test]
fn the_papers_for_pgxn_keep_its_rules() -> anyhow::Result<()> {
    let meta: Value = serde_json::from_str(&read("META.json"))?;
    assert_eq!(mistakes(&meta), Vec::<String>::new());
    let removed = |field: &str| {
        let mut meta = meta.clone();
        meta.as_object_mut().and_then(|meta| meta.remove(field)).expect("a field that is there");
        mistakes(&meta).len()
    };
    for field in ["name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"] {
        assert_eq!(removed(field), 1, "without {field}");
    }
    let mut elsewhere = meta.clone();
    elsewhere["provides"]["volguard"]["file"] = "sql/none.sql".into();
    assert_eq!(mistakes(&elsewhere).len(), 1);
    Ok(())
}

/// Each place that names the version of what it packages.
#[test]
fn every_paper_has_the_version_of_the_tree() -> anyhow::Result<()> {
    let meta: Value = serde_json::from_str(&read("META.json"))?;
    assert_eq!(meta["version"], CURRENT);
    assert_eq!(meta["provides"]["volguard"]["version"], CURRENT);
    for file in ["docker/Dockerfile", "cloudnativepg/Dockerfile", "cloudnativepg/Dockerfile.extension"] {
        let text = read(&format!("packaging/{file}"));
        assert!(text.contains(&format!("ARG VOLGUARD_VERSION={CURRENT}\n")), "{file}");
    }
    assert!(read("packaging/cloudnativepg/database.yaml").contains(&format!("version: '{CURRENT}'")));
    assert!(read("packaging/cloudnativepg/cluster-18.yaml").contains(&format!("volguard:{CURRENT}-18")));
    for version in released()? {
        assert!(read("CHANGELOG.md").contains(&format!("\n## [{}] - ", version.version)), "{}", version.version);
    }
    Ok(())
}
