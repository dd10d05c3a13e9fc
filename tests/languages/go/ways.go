package main

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

type way func(value interface{}) interface{}

// ways are, by the type of Postgres, those that a program may try, each of a text or a list of texts.
var ways = map[string]map[string]way{
	"bigint":           {"int64": integer, "string": same},
	"integer":          {"int64": integer, "string": same},
	"text, name":       {"string": same},
	"regclass":         {"string": same},
	"boolean":          {"bool": func(v interface{}) interface{} { return v == "true" }, "string": same},
	"interval":         {"time.Duration": duration, "string": same},
	"timestamptz":      {"time.Time": moment, "string": same},
	"uuid":             {"string": same, "[16]byte": bytes},
	"jsonb: an object": {"string": same, "map": object},
	"jsonb: a list":    {"string": same, "[]interface{}": list},
	"text[]":           {"[]string": texts, "string": braces},
	"bigint[]":         {"[]int64": integers, "[]string": texts, "string": braces},
	"uuid[]":           {"[]string": texts, "string": braces},
	"NULL":             {"nil": func(interface{}) interface{} { return nil }},
}

// natural is the way in which a program passes a value.
func natural(a argument) interface{} {
	switch a.kind {
	case "bigint", "integer":
		return integer(a.value)
	case "boolean":
		return a.value == "true"
	case "timestamptz":
		return moment(a.value)
	case "text[]", "uuid[]", "bigint[]":
		return braces(a.value)
	case "NULL":
		return nil
	}
	return a.value
}

func same(v interface{}) interface{} { return v }

func integer(v interface{}) interface{} {
	number, err := strconv.ParseInt(v.(string), 10, 64)
	if err != nil {
		panic(err)
	}
	return number
}

func duration(v interface{}) interface{} {
	parts := strings.Split(v.(string), ":")
	length, err := time.ParseDuration(parts[0] + "h" + parts[1] + "m" + parts[2] + "s")
	if err != nil {
		panic(err)
	}
	return length
}

func moment(v interface{}) interface{} {
	at, err := time.Parse(time.RFC3339, v.(string))
	if err != nil {
		panic(err)
	}
	return at
}

func bytes(v interface{}) interface{} {
	var id [16]byte
	if _, err := hex.Decode(id[:], []byte(strings.ReplaceAll(v.(string), "-", ""))); err != nil {
		panic(err)
	}
	return id
}

func object(v interface{}) interface{} {
	var object map[string]interface{}
	if err := json.Unmarshal([]byte(v.(string)), &object); err != nil {
		panic(err)
	}
	return object
}

func list(v interface{}) interface{} {
	var list []interface{}
	if err := json.Unmarshal([]byte(v.(string)), &list); err != nil {
		panic(err)
	}
	return list
}

func texts(v interface{}) interface{} {
	texts := []string{}
	for _, text := range v.([]interface{}) {
		texts = append(texts, text.(string))
	}
	return texts
}

func integers(v interface{}) interface{} {
	numbers := []int64{}
	for _, text := range v.([]interface{}) {
		numbers = append(numbers, integer(text).(int64))
	}
	return numbers
}

func braces(v interface{}) interface{} {
	return "{" + strings.Join(texts(v).([]string), ",") + "}"
}
