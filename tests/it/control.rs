//! The control API answers as its OpenAPI document says.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use gdo_tests::Org;
use serde_json::Value;

/// What stands for the parameters of paths; a path with another one is not asked here.
const PARAMETERS: [(&str, &[&str]); 1] = [("{task}", &["stat", "verify", "gc"])];

#[test]
fn every_answer_of_the_control_api_is_as_its_document_says() {
    let org = Org::new("blank");
    let document: Value =
        serde_json::from_str(&ask(&org, "get", "/v1/openapi.json")).expect("the document is JSON");
    let clone = org.clone("alice");
    org.add_person(&clone, "bob", "board");
    clone.replace(".gdo/policy.toml", "self_approval = true\n", "");
    clone.commit_all("Ask for a second pair of eyes");
    let _ = clone.propose(&[]).accepted();
    clone.pull();
    let text = clone.read(".gdo/policy.toml") + "\n# waits\n";
    clone.commit(&[(".gdo/policy.toml", &text)]);
    clone.propose(&[]).accepted().shows("it waits for approval");

    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let content = &operation["responses"]["200"]["content"];
            for path in spelled_out(path) {
                let answer = ask(&org, method, &path);
                let (kind, media) = content
                    .as_object()
                    .and_then(|all| all.iter().next())
                    .expect("a content");
                let lines = if kind == "application/x-ndjson" {
                    answer.lines().collect()
                } else {
                    vec![answer.as_str()]
                };
                assert!(!lines.is_empty(), "{path} gives no line");
                for line in lines {
                    let value: Value = serde_json::from_str(line).expect("JSON");
                    if let Err(fault) = hold(&document, &media["schema"], &value) {
                        panic!("{method} {path}: {fault}: {line}");
                    }
                }
                asked += 1;
            }
        }
    }
    assert!(asked >= 5, "only {asked} paths were asked");
    org.check();
}

#[test]
fn a_value_that_is_not_as_the_document_says_is_found() {
    let document = serde_json::json!({ "components": { "schemas": { "Item": {
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": { "type": "integer" }, "b": { "enum": ["x"] } }
    } } } });
    let schema = serde_json::json!({ "$ref": "#/components/schemas/Item" });
    let holds = |value: Value| hold(&document, &schema, &value).is_ok();
    assert!(holds(serde_json::json!({ "a": 1, "b": "x" })));
    assert!(!holds(serde_json::json!({ "b": "x" })));
    assert!(!holds(serde_json::json!({ "a": "1" })));
    assert!(!holds(serde_json::json!({ "a": 1, "b": "y" })));
    assert!(!holds(serde_json::json!({ "a": 1, "c": 1 })));
    let either = serde_json::json!({ "oneOf": [schema, { "const": 7 }] });
    assert!(hold(&document, &either, &serde_json::json!(7)).is_ok());
    assert!(hold(&document, &either, &serde_json::json!(8)).is_err());
}

/// The paths that a path of the document stands for; none if a parameter is not known here.
fn spelled_out(path: &str) -> Vec<String> {
    let Some((name, values)) = PARAMETERS.iter().find(|(name, _)| path.contains(name)) else {
        return if path.contains('{') {
            Vec::new()
        } else {
            vec![path.to_owned()]
        };
    };
    values
        .iter()
        .map(|value| path.replace(name, value))
        .collect()
}

/// The body of an answer, which must be a success.
fn ask(org: &Org, method: &str, path: &str) -> String {
    let socket = org.dir().join("run/control.sock");
    let mut stream = UnixStream::connect(socket).expect("the node listens");
    let method = method.to_uppercase();
    let request = format!("{method} {path} HTTP/1.0\r\nHost: gdo\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    assert_eq!(head.split(' ').nth(1), Some("200"), "{path}: {answer}");
    body.to_owned()
}

/// Holds a value against a schema: those of its words that the document uses.
fn hold(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return hold(
            document,
            found.ok_or(format!("{reference} is not there"))?,
            value,
        );
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let faults: Vec<String> = ways
            .iter()
            .filter_map(|way| hold(document, way, value).err())
            .collect();
        return if faults.len() + 1 == ways.len() {
            Ok(())
        } else {
            Err(faults.join("; "))
        };
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return Err(format!("expected {only}, got {value}"));
    }
    if let Some(some) = schema["enum"].as_array()
        && !some.contains(value)
    {
        return Err(format!("expected one of {some:?}, got {value}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_of = |expected: &Value| expected == kind;
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(some) => some.iter().any(is_of),
        one => is_of(one),
    };
    if !fits {
        return Err(format!("expected {}, got {kind}", schema["type"]));
    }
    for item in value.as_array().into_iter().flatten() {
        hold(document, &schema["items"], item)?;
    }
    let Some(fields) = value
        .as_object()
        .filter(|_| schema["properties"].is_object())
    else {
        return Ok(());
    };
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        fields.get(name).ok_or(format!("'{name}' is missing"))?;
    }
    for (name, field) in fields {
        let known = schema["properties"].get(name);
        let known = known.ok_or(format!("'{name}' is not in the document"))?;
        hold(document, known, field).map_err(|fault| format!("{name}: {fault}"))?;
    }
    Ok(())
}
