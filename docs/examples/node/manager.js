// A volume manager on volguard, with node-postgres.
//
// It takes work that was submitted for whichever manager is free, and does each piece under fenced tokens. The work,
// the heartbeat and the cleanup after others have a connection each.
//
//     DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 VOLGUARD_LEASE=10000 node manager.js

'use strict';

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { Client } = require('pg');
const { Lease, now, say, since } = require('./lease');

// Errors that pass: the same statement may succeed a moment later, often on another connection.
const PASSING = new Set(['25006', '40001', '40P01', '53300', '55P03', '57014', '57P01', '57P02', '57P03', 'VG004']);
// Milliseconds: the longest step of the work between two looks at the lease; the pause before a statement is sent
// again; how much longer than its wait the statement of a broken connection may be under way on the server.
const [STEP, RETRY, GRACE] = [50, 100, 10_000];

class Broken extends Error {} // The outcome of a statement is unknown, or it failed by an error that passes.
class Refused extends Error {} // The token is not held any more.
class Left extends Error {} // The service is deregistered already.

// A connection that is opened when it is needed, whose statements have a time limit. Each commits by itself.
class Connection {
  constructor(url, lease) {
    Object.assign(this, { url, lease, client: null });
  }

  // One try of a statement that waits in the server for `wait` milliseconds at most.
  async once(text, values, wait = 0) {
    this.lease.check();
    let client = this.client;
    try {
      client ??= await this.connect();
      // Nothing is sent after the loss, however long the process was stopped before this line.
      this.lease.check();
      // Not `query_timeout`, which leaves the connection busy with the statement: `end` closes it at once.
      const cut = setTimeout(() => client.end(), wait + this.lease.patience());
      try {
        return (await client.query({ text, values, rowMode: 'array' })).rows;
      } finally {
        clearTimeout(cut);
      }
    } catch (error) {
      this.lease.check();
      // Errors of the server have a severity, and leave the connection as it is unless they are fatal.
      const broken = !client || !error.severity || error.severity === 'FATAL';
      if (client && (broken || error.code === '25006')) {
        this.client = null;
        client.end();
      }
      if (error.code === 'VG001') {
        if (!this.lease.leaving) this.lease.lose('the service is fenced');
        throw new Left();
      }
      if (error.code === 'VG002') throw new Refused();
      if (!broken && !PASSING.has(error.code)) throw error;
      say(`${error.message}: is sent again`, 2);
      throw new Broken(error.message);
    }
  }

  // The same statement until it is answered, while the lease lasts; and whether it was sent more than once.
  async ask(text, values, wait = 0) {
    for (let again = false; ; again = true) {
      try {
        return [await this.once(text, values, wait), again];
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        await sleep(RETRY);
      }
    }
  }

  async connect() {
    const client = new Client({
      connectionString: this.url,
      connectionTimeoutMillis: this.lease.patience(),
      keepAlive: true,
      keepAliveInitialDelayMillis: this.lease.length / 3,
    });
    // Without a listener, the end of an idle connection would end the process. The next statement finds it.
    client.on('error', () => {});
    client.on('end', () => {
      if (this.client === client) this.client = null;
    });
    await client.connect();
    return (this.client = client);
  }
}

class Manager {
  constructor(url, host, lease) {
    Object.assign(this, { url, host, lease, stopping: new AbortController() });
    this.connection = new Connection(url, lease);
    this.beats = new Connection(url, lease);
    // Calls wait for so long in the server, and then ask again: so the program sees a SIGTERM in time.
    this.wait = Math.min(5000, lease.length / 5);
    // Requests that may still take something on the server, by their ids: until when.
    this.unsettled = new Map();
  }

  get stops() {
    return this.stopping.signal.aborted;
  }

  // Sleeps; not longer than until the program is to stop.
  pause(milliseconds) {
    return sleep(milliseconds, null, { signal: this.stopping.signal }).catch(() => {});
  }

  // Once: if that fails, the program ends, and whatever starts it again registers anew.
  async register() {
    const sent = now();
    const sql = "SELECT volguard.register_service($1, 'manager', lease => $2)";
    [[this.service]] = await this.beats.once(sql, [this.host, `${this.lease.length} ms`]);
    this.lease.renew(sent);
    say(`registered ${this.service}`);
  }

  async heartbeat() {
    for (let due = this.lease.pause; ; ) {
      await sleep(due);
      const sent = now();
      try {
        await this.beats.once('SELECT volguard.heartbeat($1)', [this.service]);
        this.lease.renew(sent);
        due = Math.max(0, this.lease.pause - since(sent));
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        due = RETRY;
      }
    }
  }

  // Repairs after services that have crashed, and settles requests whose answers were lost.
  async cleanUp() {
    const connection = new Connection(this.url, this.lease);
    for (let cleaned = now(); ; await sleep(RETRY)) {
      try {
        if (this.unsettled.size) {
          const requests = [...this.unsettled];
          const over = requests.filter(([, { broke, left }]) => since(broke) > left);
          const sql = 'SELECT volguard.release_requests($1, $2)';
          await connection.once(sql, [this.service, requests.map(([request]) => request)]);
          for (const [request] of over) this.unsettled.delete(request);
        }
        if (since(cleaned) < this.lease.length / 3) continue;
        let rows;
        do {
          rows = await connection.once('SELECT state FROM volguard.auto_cleanup()', [], 30_000);
        } while (rows.some(([state]) => state === 'more'));
        cleaned = now();
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
      }
    }
  }

  // What this request takes is not wanted any more: it is put back, also if the server is at it still.
  settle(request) {
    this.unsettled.set(request, { broke: now(), left: this.wait + GRACE });
  }

  async serve() {
    while (!this.stops) {
      // What a lost answer was about is put back; so each try has an id of its own.
      const request = randomUUID();
      const sql = `SELECT token, work_id, resource_id, details FROM volguard.next_work($1, resource_type => 'volume',
        operations => '{extend}', wait => $2, request_id => $3)`;
      let work = [];
      try {
        work = await this.connection.once(sql, [this.service, `${this.wait} ms`, request], this.wait);
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        this.settle(request);
        await this.pause(RETRY);
      }
      for (const piece of work) await this.withLog(...piece);
    }
    this.lease.leaving = true;
    try {
      await this.connection.ask('SELECT volguard.deregister_service($1)', [this.service]);
    } catch (error) {
      if (!(error instanceof Left)) throw error; // Left by the call before, whose answer was lost.
    }
    say('stopped');
  }

  // Does a piece of work while it holds a plain lock, on the manager's own log. Tokens and ids are strings, as
  // node-postgres has all bigints.
  async withLog(token, workId, volume, details) {
    const request = randomUUID();
    const sql = "SELECT volguard.acquire($1, 'manager-log', $2, wait => $3, request_id => $4)";
    let log = null;
    let doubt = false;
    while (log === null && !this.stops) {
      const values = [this.service, this.host, `${this.wait} ms`, request];
      const [[[answer]], again] = await this.connection.ask(sql, values, this.wait);
      log = answer;
      doubt ||= again;
    }
    try {
      if (log !== null) {
        say(`begin ${token} ${volume}`);
        await this.extend(token, workId, volume, details);
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(`refused ${token} ${volume}`);
    }
    // Back into the queue, unless it is finished.
    if (this.stops) await this.connection.ask('SELECT volguard.release($1)', [token]);
    if (log !== null) await this.connection.ask('SELECT volguard.release($1)', [log]);
    if (doubt) this.settle(request);
  }

  // The work: steps on the storage, each under the lease, and writes to the database, each under the token.
  async extend(token, workId, volume, { milliseconds, size }) {
    const begun = performance.now();
    const worked = () => performance.now() - begun;
    for (let written = false; !this.stops; await this.pause(STEP)) {
      this.lease.check();
      if (!written && worked() >= milliseconds / 2) {
        // Safe to repeat: it sets the size, and does not add to it.
        const sql = `SELECT outcome FROM volguard.conditional_update('app.volumes', key => $1, changes => $2,
          fence => $3)`;
        const [[[outcome]]] = await this.connection.ask(sql, [{ id: volume }, { size }, token]);
        if (outcome !== 'updated') throw new Refused();
        written = true;
      }
      if (written && worked() >= milliseconds) {
        await this.finish(token, workId);
        say(`end ${token} ${volume}`);
        return;
      }
    }
  }

  async finish(token, workId) {
    const sql = "SELECT outcome FROM volguard.finish_work($1, $2, target => 'app.volumes')";
    const [[[outcome]], again] = await this.connection.ask(sql, [token, { status: 'available' }]);
    if (outcome === 'updated') return;
    // Refused after a lost answer: the first call has done it, or the token was lost before. Work that has ended is
    // gone; and as long as this service lives, only its own call can have ended it.
    if (again) {
      const gone = `SELECT fenced_at IS NULL AND NOT EXISTS (SELECT FROM volguard.lock_status WHERE work_id = $1)
        FROM volguard.service_status WHERE service_id = $2`;
      const [[[ended]]] = await this.connection.ask(gone, [workId, this.service]);
      if (ended) return;
    }
    throw new Refused();
  }
}

async function main() {
  const lease = new Lease(Number(process.env.VOLGUARD_LEASE ?? 10_000));
  const manager = new Manager(process.env.DATABASE_URL, process.env.VOLGUARD_HOST, lease);
  process.on('SIGTERM', () => manager.stopping.abort());
  await manager.register();
  for (const task of [manager.heartbeat(), manager.cleanUp()]) {
    task.catch((error) => error instanceof Left || fatal(error));
  }
  await manager.serve();
  process.exit(0);
}

// Nothing that the program can mend: a privilege is missing, a function does not exist.
function fatal(error) {
  say(`${error.message}: and the program ends`, 2);
  process.exit(1);
}

main().catch(fatal);
