// The lease of a service, as its program may count on it.

'use strict';

const fs = require('node:fs');
const os = require('node:os');

// Prints a line at once, on standard output unless told otherwise.
const say = (line, to = 1) => fs.writeSync(to, `${line}\n`);

// A moment, in milliseconds on two clocks: the first one stops while the machine is suspended, the second is coarse.
const now = () => [performance.now(), os.uptime() * 1000];

// The milliseconds that have passed since a moment, on the clock that says more.
const since = ([awake, boot]) => Math.max(performance.now() - awake, os.uptime() * 1000 - boot);

// The lease, counted from before the heartbeat that succeeded was sent, and given up at nine tenths: so the program has
// stopped before the server can give its locks away. Its loss ends the process.
class Lease {
  constructor(length) {
    this.length = length;
    this.leaving = false;
    // So often that after a heartbeat without an answer, given up after a third, there is time for another one.
    this.pause = length / 4;
    this.sent = null;
  }

  // A heartbeat, or the registration, has succeeded. One that succeeds too late renews nothing.
  renew(sent) {
    this.check();
    if (!this.sent) setInterval(() => this.check(), Math.min(this.length / 100, 50));
    this.sent = sent;
  }

  // How long a call may go without an answer. Before there is a lease it may take longer.
  patience() {
    return this.sent ? this.length / 3 : Math.max(10_000, this.length / 3);
  }

  // Returns if the lease lasts: before each step of the work, and before each write. Timers alone would not do, since
  // they run late when the process was stopped.
  check() {
    if (this.sent && since(this.sent) >= this.length * 0.9) this.lose('no heartbeat has succeeded in time');
  }

  lose(reason) {
    say(`lost: ${reason}`, 2);
    say('lost');
    process.exit(3);
  }
}

module.exports = { Lease, now, say, since };
