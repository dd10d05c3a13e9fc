// Whether pgx v4 takes and gives what its column in docs/other-languages.md says, and whether all verbs can be called
// with it. `plan.py 'pgx v4'` says on standard input what to ask.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o run .
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
)

type argument struct {
	name, kind string
	value      interface{}
}

type step struct {
	Verb      string
	Statement string
	Call      bool
	Type      string
	Probe     string
	Before    string
	Check     string
	Undo      string
	Keep      map[string]string
	Arguments map[string][2]interface{}
}

type plan struct {
	Cells struct{ Takes, Gives map[string][]string }
	Verbs []step
	// The setup ends with the statement that registers the service.
	Probes struct {
		Setup []string
		Takes []step
		Gives map[string]string
	}
}

type run struct {
	conn   *pgx.Conn
	kept   map[string]string
	passed int
	failed []string
}

func (r *run) verdict(what string, right bool, detail interface{}) {
	if right {
		r.passed++
	} else {
		r.failed = append(r.failed, fmt.Sprintf("%s: %v", what, detail))
	}
}

// text is the one value of a query, which is text.
func (r *run) text(sql string) string {
	var text *string
	if err := r.conn.QueryRow(context.Background(), sql).Scan(&text); err != nil {
		panic(fmt.Sprintf("%s: %v", sql, err))
	}
	if text == nil {
		return ""
	}
	return *text
}

// filled replaces `$name` by what an earlier answer has left.
func (r *run) filled(value interface{}) interface{} {
	switch value := value.(type) {
	case []interface{}:
		list := []interface{}{}
		for _, item := range value {
			list = append(list, r.filled(item))
		}
		return list
	case string:
		if strings.HasPrefix(value, "$") {
			return r.kept[value[1:]]
		}
	}
	return value
}

func (r *run) statement(s step) (string, []argument) {
	var named []string
	var arguments []argument
	for name, typed := range s.Arguments {
		arguments = append(arguments, argument{name, typed[0].(string), r.filled(typed[1])})
	}
	sort.Slice(arguments, func(a, b int) bool { return arguments[a].name < arguments[b].name })
	for at, each := range arguments {
		named = append(named, fmt.Sprintf("%s => $%d", each.name, at+1))
	}
	if s.Statement != "" {
		sql := s.Statement
		for at := range arguments {
			sql = strings.Replace(sql, "{}", fmt.Sprintf("$%d", at+1), 1)
		}
		return sql, arguments
	}
	verb := "SELECT * FROM"
	if s.Call {
		verb = "CALL"
	}
	return fmt.Sprintf("%s volguard.%s(%s)", verb, s.Verb, strings.Join(named, ", ")), arguments
}

// query returns the first row, by the names of its columns.
func (r *run) query(sql string, values []interface{}) (map[string]interface{}, error) {
	rows, err := r.conn.Query(context.Background(), sql, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	row := map[string]interface{}{}
	if rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		for at, field := range rows.FieldDescriptions() {
			row[string(field.Name)] = values[at]
		}
	}
	rows.Close()
	return row, rows.Err()
}

func (r *run) takes(p plan) {
	for _, probe := range p.Probes.Takes {
		said := map[string]bool{}
		for _, way := range p.Cells.Takes[probe.Type] {
			said[way] = true
			_, known := ways[probe.Type][way]
			r.verdict("takes "+probe.Type, known, "the runner does not know "+way)
		}
		for way, make := range ways[probe.Type] {
			if probe.Before != "" {
				r.kept["lock"] = r.text(probe.Before)
			}
			sql, arguments := r.statement(probe)
			var values []interface{}
			for _, each := range arguments {
				if each.name == probe.Probe {
					values = append(values, make(each.value))
				} else {
					values = append(values, natural(each))
				}
			}
			outcome := "taken"
			if _, err := r.query(sql, values); err != nil {
				outcome = "refused: " + err.Error()
			} else if probe.Check != "" && r.text(probe.Check) != "true" {
				outcome = "taken for something else"
			}
			r.verdict(fmt.Sprintf("takes %s as %s", probe.Type, way), (outcome == "taken") == said[way], outcome)
			if probe.Undo != "" {
				r.text(probe.Undo)
			}
		}
	}
}

func (r *run) gives(p plan) {
	// The lock that the queries ask about comes first, and NULL, the answer to a second call, after it.
	kinds := []string{"bigint"}
	for kind := range p.Probes.Gives {
		if kind != "bigint" {
			kinds = append(kinds, kind)
		}
	}
	for _, kind := range kinds {
		said := map[string]bool{}
		for _, name := range p.Cells.Gives[kind] {
			said[name] = true
			_, known := targets()[name]
			r.verdict("gives "+kind, known, "the runner does not know "+name)
		}
		sql := strings.ReplaceAll(p.Probes.Gives[kind], "$service", r.kept["service"])
		for name := range targets() {
			// More may do than the page says, but not for NULL, which most refuse.
			if !said[name] && kind != "NULL" {
				continue
			}
			err := r.conn.QueryRow(context.Background(), sql).Scan(targets()[name])
			r.verdict(fmt.Sprintf("gives %s as %s", kind, name), (err == nil) == said[name], err)
			if kind == "bigint" {
				r.text("SELECT volguard.reset_resource('probe', 'g')::text")
			}
		}
		if kind == "bigint" {
			r.text(strings.Replace(sql, "SELECT ", "SELECT (", 1) + ")::text")
		}
	}
}

func (r *run) verbs(p plan) {
	for _, s := range p.Verbs {
		sql, arguments := r.statement(s)
		var values []interface{}
		for _, each := range arguments {
			values = append(values, natural(each))
		}
		row, err := r.query(sql, values)
		for name, column := range s.Keep {
			r.kept[name] = fmt.Sprint(row[column])
		}
		r.verdict(sql, err == nil, err)
	}
}

func main() {
	config, err := pgx.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	config.PreferSimpleProtocol = true
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		panic(err)
	}
	var p plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		panic(err)
	}
	r := &run{conn: conn, kept: map[string]string{}}
	for _, statement := range p.Probes.Setup {
		r.kept["service"] = r.text(statement)
	}
	r.takes(p)
	r.gives(p)
	r.text("SELECT volguard.untrack_resource('volume')::text")
	r.text("SELECT volguard.reset_resource('probe', 'g')::text")
	r.verbs(p)
	for _, line := range r.failed {
		fmt.Println("FAILED pgx v4:", line)
	}
	fmt.Printf("%d ok, %d FAILED\n", r.passed, len(r.failed))
	if len(r.failed) > 0 {
		os.Exit(1)
	}
}

// targets are what a value may be scanned into.
func targets() map[string]interface{} {
	return map[string]interface{}{
		"int64": new(int64), "*int64": new(*int64), "int32": new(int32), "bool": new(bool), "string": new(string),
		"time.Duration": new(time.Duration), "pgtype.Interval": new(pgtype.Interval), "time.Time": new(time.Time),
		"[16]byte": new([16]byte), "map": new(map[string]interface{}), "[]interface{}": new([]interface{}),
		"[]string": new([]string), "[]int64": new([]int64),
	}
}
