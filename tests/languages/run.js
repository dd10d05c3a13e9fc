// Whether node-postgres takes and gives what its column in docs/other-languages.md says, and whether all verbs can be
// called with it. `plan.py node-postgres` says on standard input what to ask.

'use strict';

const fs = require('node:fs');
const { Client } = require('pg');
const postgresInterval = require('postgres-interval');

const array = (values) => `{${values.join(',')}}`;
const interval = (value) => {
  const [hours, minutes, seconds] = value.split(':').map(Number);
  return (hours * 60 + minutes) * 60 + seconds;
};

// By the type of Postgres: the ways that a program may try, each of a text. The first is what it has at hand.
const WAYS = {
  bigint: { string: String, number: Number, bigint: BigInt },
  integer: { number: Number, string: String },
  'text, name': { string: String },
  regclass: { string: String },
  boolean: { boolean: (value) => value === 'true', string: String },
  interval: { string: String, number: interval, PostgresInterval: (value) => postgresInterval(value) },
  timestamptz: { Date: (value) => new Date(value), string: String },
  uuid: { string: String },
  'jsonb: an object': { object: JSON.parse, string: String },
  'jsonb: a list': { string: String, array: JSON.parse },
  'text[]': { 'string[]': (values) => values, string: array },
  'bigint[]': {
    'string[]': (values) => values,
    'number[]': (values) => values.map(Number),
    'bigint[]': (values) => values.map(BigInt),
    string: array,
  },
  'uuid[]': { 'string[]': (values) => values, string: array },
  NULL: { null: () => null, undefined: () => undefined },
};

const filled = (value, kept) => {
  if (Array.isArray(value)) return value.map((item) => filled(item, kept));
  return typeof value === 'string' && value.startsWith('$') ? kept[value.slice(1)] : value;
};

const call = ({ call: procedure, verb, statement, arguments: named }) => {
  let place = 0;
  if (statement) return statement.replaceAll('{}', () => `$${(place += 1)}`);
  const list = Object.keys(named).map((name, at) => `${name} => $${at + 1}`);
  return `${procedure ? 'CALL' : 'SELECT * FROM'} volguard.${verb}(${list.join(', ')})`;
};

const natural = (type, value) => {
  const kind =
    { text: 'text, name', name: 'text, name' }[type] ??
    (type === 'jsonb' ? `jsonb: ${value.startsWith('[') ? 'a list' : 'an object'}` : type);
  return Object.values(WAYS[kind])[0](value);
};

// An object of no class of its own may be JSON, or what the driver makes of an interval.
const kindOf = (value) => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 1 && value[0] === 1 ? 'array' : `${kindOf(value[0])}[]`;
  if (typeof value !== 'object') return typeof value;
  return value.constructor.name === 'Object' ? 'object' : value.constructor.name;
};

let passed = 0;
const failed = [];
const verdict = (what, right, detail) => (right ? (passed += 1) : failed.push(`${what}: ${detail}`));

async function main() {
  const { cells, probes, verbs } = JSON.parse(fs.readFileSync(0, 'utf8'));
  const client = new Client({ connectionString: process.env.DATABASE_URL });
  await client.connect();
  const text = async (query) => (await client.query({ text: query, rowMode: 'array' })).rows[0][0];

  const kept = {};
  for (const statement of probes.setup) kept.service = await text(statement);
  for (const probe of probes.takes) {
    const known = WAYS[probe.type];
    const missing = cells.takes[probe.type].filter((way) => !(way in known));
    verdict(`takes ${probe.type}`, !missing.length, `the runner does not know ${missing}`);
    for (const [way, make] of Object.entries(known)) {
      if (probe.before) kept.lock = await text(probe.before);
      const values = Object.entries(probe.arguments).map(([name, [type, value]]) =>
        name === probe.probe ? make(filled(value, kept)) : natural(type, filled(value, kept)),
      );
      let outcome = 'taken';
      try {
        await client.query(call(probe), values);
        if (probe.check && (await text(probe.check)) !== 'true') outcome = 'taken for something else';
      } catch (error) {
        outcome = `refused: ${error.message}`;
      }
      const said = cells.takes[probe.type].includes(way);
      verdict(`takes ${probe.type} as ${way}`, (outcome === 'taken') === said, outcome);
      if (probe.undo) await text(probe.undo);
    }
  }
  for (const [type, query] of Object.entries(probes.gives)) {
    const found = kindOf(await text(query.replaceAll('$service', kept.service)));
    const said = `${cells.gives[type]}`;
    verdict(`gives ${type}`, said === found, `gives ${found}, and the page says ${said}`);
  }
  await text("SELECT volguard.untrack_resource('volume')");
  await text("SELECT volguard.reset_resource('probe', 'g')");
  for (const step of verbs) {
    const named = Object.entries(step.arguments);
    try {
      const values = named.map(([, [type, value]]) => natural(type, filled(value, kept)));
      const { rows } = await client.query(call(step), values);
      for (const [name, column] of Object.entries(step.keep ?? {})) kept[name] = rows[0][column];
      verdict(step.verb, true);
    } catch (error) {
      verdict(`${step.verb}(${named.map(([name]) => name)})`, false, error.message);
    }
  }
  await client.end();
  for (const line of failed) console.log(`FAILED node-postgres: ${line}`);
  console.log(`${passed} ok, ${failed.length} FAILED`);
  process.exitCode = failed.length ? 1 : 0;
}

main();
