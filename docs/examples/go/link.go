package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

// link is a connection that is replaced when it breaks.
type link struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn
}

// ask sends a statement once, and reads its first row.
func (l *link) ask(limit time.Duration, into []interface{}, sql string, args ...interface{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return l.askUntil(ctx, into, sql, args...)
}

func (l *link) askUntil(ctx context.Context, into []interface{}, sql string, args ...interface{}) error {
	if l.conn == nil || l.conn.IsClosed() {
		conn, err := pgx.ConnectConfig(ctx, l.config.Copy())
		if err != nil {
			return err
		}
		l.conn = conn
	}
	err := l.conn.QueryRow(ctx, sql, args...).Scan(into...)
	if err != nil && isPassing(err) {
		l.close()
	}
	return err
}

// close does not wait: the other end may be gone.
func (l *link) close() {
	if l.conn != nil {
		go func(conn *pgx.Conn) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = conn.Close(ctx)
		}(l.conn)
	}
	l.conn = nil
}

// code is the SQLSTATE of a refusal, or empty.
func code(err error) string {
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}

// isPassing tells whether the connection broke, or the server shuts down, starts or has no room. The statement may have
// taken effect. 08P01 is PgBouncer's, for a server that it has lost.
func isPassing(err error) bool {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return false
	}
	switch state := code(err); {
	case state == "":
		return true
	default:
		return state[:2] == "08" || state[:2] == "53" || state[:2] == "57"
	}
}

// uuid is a random one.
func uuid() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
