// A volume manager under the contract of docs/write-a-client.md, with pgx v4 as Debian has it:
//
//	apt-get install golang-go golang-github-jackc-pgx-v4-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o manager .
//	DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 ./manager
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v4"
)

const (
	step = 50 * time.Millisecond
	// For statements that don't wait.
	limit = 5 * time.Second
	// How long one call waits in the database.
	wait = 5 * time.Second
)

type manager struct {
	work     *link
	service  int64
	host     string
	lease    *lease
	stopping chan struct{}
	// Set before the service is deregistered: then heartbeats are refused.
	leaving int32
	// Requests of next_work whose answers were lost, and until when the server may still give work to them.
	doubtful map[string]time.Time
}

type piece struct {
	token   int64
	id      string
	details struct {
		Milliseconds int64 `json:"milliseconds"`
		Size         int   `json:"size"`
	}
}

type ending int

const (
	done ending = iota
	refused
	givenBack
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run() error {
	host := os.Getenv("VOLGUARD_HOST")
	milliseconds := 10000
	if text := os.Getenv("VOLGUARD_LEASE"); text != "" {
		var err error
		if milliseconds, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("VOLGUARD_LEASE: %w", err)
		}
	}
	config, err := pgx.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	// Prepared statements do not survive PgBouncer in transaction mode.
	config.PreferSimpleProtocol = true

	m := &manager{work: &link{config: config}, host: host, stopping: make(chan struct{}), doubtful: map[string]time.Time{}}
	since := now()
	err = m.work.ask(limit, []interface{}{&m.service},
		"SELECT volguard.register_service($1, 'manager', lease => $2::interval)", host, fmt.Sprintf("%d ms", milliseconds))
	if err != nil {
		return fmt.Errorf("no registration: %w", err)
	}
	m.lease = newLease(time.Duration(milliseconds)*time.Millisecond, since)
	m.lease.say("registered %d", m.service)

	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	go func() {
		<-terminate
		close(m.stopping)
	}()
	// Connections of their own: a call that waits, or a rule that takes long, must not hold up a heartbeat.
	go m.beat(&link{config: config})
	go m.cleanUp(&link{config: config})
	if err := m.serve(); err != nil {
		return err
	}
	if err := m.leave(); err != nil {
		return err
	}
	m.lease.say("stopped")
	return nil
}

// beat sends a heartbeat each third of the lease. The lease is counted from before it was sent.
func (m *manager) beat(link *link) {
	third := m.lease.length / 3
	for {
		m.lease.check()
		sent := now()
		var length string
		err := link.ask(third, []interface{}{&length}, "SELECT volguard.heartbeat($1)::text", m.service)
		switch {
		case err == nil:
			m.lease.renew(sent)
			time.Sleep(third - (now() - sent))
		case code(err) == "VG001" && atomic.LoadInt32(&m.leaving) == 0:
			m.lease.fence()
		default:
			time.Sleep(third / 20)
		}
	}
}

// cleanUp repairs what other services of the cluster have left that are dead.
func (m *manager) cleanUp(link *link) {
	for {
		var more bool
		err := link.ask(8*limit, []interface{}{&more},
			"SELECT coalesce(bool_or(state = 'more'), false) FROM volguard.auto_cleanup('default')")
		if err != nil || !more {
			time.Sleep(m.lease.length / 3)
		}
	}
}

func (m *manager) isStopping() bool {
	select {
	case <-m.stopping:
		return true
	default:
		return false
	}
}

func (m *manager) serve() error {
	for !m.isStopping() {
		m.lease.check()
		piece, err := m.next()
		if err != nil {
			return err
		}
		if piece != nil {
			if err := m.extend(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

// next waits for a piece of work. There may be none.
func (m *manager) next() (*piece, error) {
	if err := m.giveBackDoubtful(); err != nil {
		return nil, err
	}
	request := uuid()
	ctx, cancel := context.WithTimeout(context.Background(), wait+limit)
	defer cancel()
	go func() {
		select {
		case <-m.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	var p piece
	var details string
	err := m.work.askUntil(ctx, []interface{}{&p.token, &p.id, &details},
		`SELECT token, resource_id, details::text FROM volguard.next_work($1, resource_type => 'volume',
		     operations => '{extend}', wait => $2::interval, request_id => $3::uuid)`,
		m.service, fmt.Sprintf("%d ms", wait.Milliseconds()), request)
	switch {
	case err == nil:
		return &p, json.Unmarshal([]byte(details), &p.details)
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case isPassing(err):
		m.doubtful[request] = time.Now().Add(wait + 2*limit)
		time.Sleep(step)
		return nil, nil
	case code(err) == "VG001":
		m.lease.fence()
		return nil, nil
	case code(err) == "VG004":
		// The lease is over by the server's clock; ours tells what that means.
		time.Sleep(step)
		return nil, nil
	}
	return nil, fmt.Errorf("next_work: %w", err)
}

// giveBackDoubtful puts back what lost answers may have been about. The server may give work to a call whose connection
// is gone until that call has ended, so this is repeated.
func (m *manager) giveBackDoubtful() error {
	for request, over := range m.doubtful {
		before := time.Now()
		var released int64
		_, err := m.insist(limit, []interface{}{&released},
			"SELECT volguard.release_requests($1, ARRAY[$2::uuid])", m.service, request)
		if code(err) == "VG001" {
			m.lease.fence()
		}
		if err != nil {
			return fmt.Errorf("release_requests: %w", err)
		}
		if before.After(over) {
			delete(m.doubtful, request)
		}
	}
	return nil
}

// extend does a piece of work under the lock of this host's book-keeping.
func (m *manager) extend(p *piece) error {
	log, err := m.acquireLog()
	if err != nil {
		return err
	}
	if log == nil {
		return m.release(p.token)
	}
	m.lease.say("begin %d %s", p.token, p.id)
	ending, err := m.steps(p)
	if err != nil {
		return err
	}
	switch ending {
	case done:
		m.lease.say("end %d %s", p.token, p.id)
	case refused:
		m.lease.say("refused %d %s", p.token, p.id)
	case givenBack:
		if err := m.release(p.token); err != nil {
			return err
		}
	}
	return m.release(*log)
}

// acquireLog returns no token if the manager has to stop first.
func (m *manager) acquireLog() (*int64, error) {
	for !m.isStopping() {
		var token *int64
		// Under one request id, so that asking again finds what a lost answer was about.
		_, err := m.insist(wait+limit, []interface{}{&token},
			"SELECT volguard.acquire($1, 'manager-log', $2, wait => $3::interval, request_id => $4::uuid)",
			m.service, m.host, fmt.Sprintf("%d ms", wait.Milliseconds()), uuid())
		switch {
		case code(err) == "VG001":
			m.lease.fence()
		case code(err) == "VG004":
			time.Sleep(step)
		case err != nil:
			return nil, fmt.Errorf("acquire: %w", err)
		case token != nil:
			return token, nil
		}
	}
	return nil, nil
}

func (m *manager) release(token int64) error {
	var released bool
	if _, err := m.insist(limit, []interface{}{&released}, "SELECT volguard.release($1)", token); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (m *manager) steps(p *piece) (ending, error) {
	begun, takes := time.Now(), time.Duration(p.details.Milliseconds)*time.Millisecond
	if !m.workUntil(begun.Add(takes / 2)) {
		return givenBack, nil
	}
	key, _ := json.Marshal(map[string]string{"id": p.id})
	changes, _ := json.Marshal(map[string]int{"size": p.details.Size})
	var outcome string
	_, err := m.insist(limit, []interface{}{&outcome},
		"SELECT (volguard.conditional_update('app.volumes', $1::jsonb, $2::jsonb, fence => $3)).outcome",
		string(key), string(changes), p.token)
	if err != nil || outcome != "updated" {
		return asEnding("conditional_update", outcome, err)
	}
	if !m.workUntil(begun.Add(takes)) {
		return givenBack, nil
	}
	doubt, err := m.insist(limit, []interface{}{&outcome},
		`SELECT (volguard.finish_work($1, '{"status": "available"}')).outcome`, p.token)
	if err == nil && outcome == "fenced" && doubt {
		// Done by the call whose answer was lost, or taken away: the row tells.
		var isDone bool
		_, err := m.insist(limit, []interface{}{&isDone},
			"SELECT status = 'available' AND size = $2 FROM app.volumes WHERE id = $1", p.id, p.details.Size)
		if err == nil && isDone {
			return done, nil
		}
	}
	return asEnding("finish_work", outcome, err)
}

func asEnding(verb, outcome string, err error) (ending, error) {
	switch {
	case err != nil:
		return refused, fmt.Errorf("%s: %w", verb, err)
	case outcome == "updated":
		return done, nil
	case outcome == "fenced":
		return refused, nil
	}
	return refused, fmt.Errorf("%s: %s", verb, outcome)
}

// workUntil stands for the work. It returns false if the manager has to stop, and the work would take too long.
func (m *manager) workUntil(end time.Time) bool {
	for time.Now().Before(end) {
		m.lease.check()
		left := time.Until(end)
		if m.isStopping() && left > m.lease.length/3 {
			return false
		}
		if left > step {
			left = step
		}
		time.Sleep(left)
	}
	m.lease.check()
	return true
}

// leave returns when the server knows. The clock of the lease ends the process before the lease is over.
func (m *manager) leave() error {
	atomic.StoreInt32(&m.leaving, 1)
	for {
		var left int64
		doubt, err := m.insist(2*limit, []interface{}{&left}, "SELECT volguard.deregister_service($1)", m.service)
		switch {
		case err == nil, doubt && code(err) == "VG001":
			return nil
		case code(err) == "55P03":
			// A transaction that has checked a token is still open.
			time.Sleep(step)
		default:
			return fmt.Errorf("deregister_service: %w", err)
		}
	}
}

// insist asks until there is an answer, and tells whether one was lost before.
func (m *manager) insist(limit time.Duration, into []interface{}, sql string, args ...interface{}) (bool, error) {
	doubt := false
	for {
		m.lease.check()
		err := m.work.ask(limit, into, sql, args...)
		if err == nil || !isPassing(err) {
			return doubt, err
		}
		doubt = true
		time.Sleep(step)
	}
}
