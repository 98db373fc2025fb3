package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"bifrost-secrets/sources"
)

// lying is a server that speaks PostgreSQL's protocol as far as a lie wants it.
type lying struct {
	net.Listener
	conns sync.WaitGroup
}

func startLying(t *testing.T, serve func(net.Conn)) *lying {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lying{Listener: l}
	var mu sync.Mutex
	var open []net.Conn
	s.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			s.conns.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		s.conns.Wait()
	})
	return s
}

// greet signs a client in without asking for anything.
func greet(conn net.Conn) (*pgproto3.Backend, bool) {
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return nil, false
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return b, b.Flush() == nil
}

// answering greets, and has reply answer each statement.
func answering(reply func(*pgproto3.Backend)) func(net.Conn) {
	return func(conn net.Conn) {
		b, ok := greet(conn)
		for ok {
			message, err := b.Receive()
			if err != nil {
				return
			}
			if _, ok := message.(*pgproto3.Sync); !ok {
				continue
			}
			reply(b)
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if b.Flush() != nil {
				return
			}
		}
	}
}

func fields() *pgproto3.RowDescription {
	field := func(name string, oid uint32) pgproto3.FieldDescription {
		return pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oid, DataTypeSize: -1, TypeModifier: -1, Format: 1}
	}
	return &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{field("name", 25), field("version", 20), field("sealed", 17)}}
}

func found(name string) *pgproto3.DataRow {
	return &pgproto3.DataRow{Values: [][]byte{[]byte(name), binary.BigEndian.AppendUint64(nil, 1), []byte("age-encryption.org " + canary)}}
}

func rows(names ...string) func(*pgproto3.Backend) {
	return func(b *pgproto3.Backend) {
		b.Send(&pgproto3.ParseComplete{})
		b.Send(&pgproto3.BindComplete{})
		b.Send(fields())
		for _, name := range names {
			b.Send(found(name))
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 2")})
	}
}

// TestLyingServer has whoever listens in PostgreSQL's place misbehave: nothing of
// it is taken for an answer or shown, and all of it ends in time.
func TestLyingServer(t *testing.T) {
	if testing.Short() {
		t.Skip("it has a server that takes its time")
	}
	text := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = io.WriteString(conn, text)
		}
	}
	refusal := &pgproto3.ErrorResponse{
		Severity: "ERROR " + canary, Code: "P0001", Message: "row " + canary, Detail: canary, Hint: canary, Where: canary, SchemaName: canary, TableName: canary, ColumnName: canary, ConstraintName: canary,
	}
	odd := *refusal
	odd.Code = canary
	for name, serve := range map[string]func(net.Conn){
		"closes":            func(net.Conn) {},
		"a page":            text("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>" + canary),
		"not PostgreSQL":    text("SSH-2.0-" + canary + "\r\n"),
		"a message of 2 GB": text("R\x7f\xff\xff\xff" + canary),
		"a negative length": text("R\xff\xff\xff\xff" + canary),
		"half a message":    text("R\x00\x00"),
		"an unknown login":  text("R\x00\x00\x00\x08\x00\x00\x00\x63"),
		"no answer":         func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"one byte a second": func(conn net.Conn) {
			for tick := time.NewTicker(time.Second); ; <-tick.C {
				if _, err := conn.Write([]byte("R")); err != nil {
					tick.Stop()
					return
				}
			}
		},
		"refuses with the password": func(conn net.Conn) {
			b := pgproto3.NewBackend(conn, conn)
			if _, err := b.ReceiveStartupMessage(); err == nil {
				b.Send(refusal)
				_ = b.Flush()
			}
		},
		"hangs after the login": func(conn net.Conn) { _, _ = greet(conn); _, _ = io.Copy(io.Discard, conn) },
		"notices without end": func(conn net.Conn) {
			b, ok := greet(conn)
			for ok {
				b.Send(&pgproto3.NoticeResponse{Severity: "NOTICE", Code: "00000", Message: canary})
				ok = b.Flush() == nil
			}
		},
		"an error that repeats the row": answering(func(b *pgproto3.Backend) { b.Send(refusal) }),
		"an error without a code":       answering(func(b *pgproto3.Backend) { b.Send(&odd) }),
		"a name twice":                  answering(rows("a", "a")),
		"another name":                  answering(rows("other")),
		"rows without end": answering(func(b *pgproto3.Backend) {
			rows()(b)
			for b.Flush() == nil {
				b.Send(found("a"))
			}
		}),
		"a row of another shape": answering(func(b *pgproto3.Backend) {
			b.Send(&pgproto3.ParseComplete{})
			b.Send(&pgproto3.BindComplete{})
			b.Send(&pgproto3.RowDescription{Fields: fields().Fields[:1]})
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(canary)}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startLying(t, serve)
			port := server.Addr().(*net.TCPAddr).Port
			s, err := Backend.Open(t.Context(), sources.Settings{
				"host": secret("127.0.0.1"), "port": secret(fmt.Sprint(port)), "user": secret("u"), "password": secret(canary), "db_name": secret("d"),
				"ssl_mode": secret("disable"), "identity": secret(newIdentity(t).String()),
			}, options(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			got := s.Fetch(ctx, []string{"a", "b"})
			if len(got) != 2 {
				t.Errorf("%d answers to two names", len(got))
			}
			errs := []error{got["a"].Err, got["b"].Err}
			if !strings.Contains(name, "row") && !strings.Contains(name, "name") {
				_, err := s.(sources.Store).Put(ctx, sources.Write{Name: "a", Value: secret(canary), Token: "t", Mark: sources.Mark{Owner: owner}})
				errs = append(errs, s.Ping(ctx, ""), err)
			}
			for i, err := range errs {
				if kind := sources.KindOf(err); err == nil || kind == sources.NotFound {
					t.Errorf("%d: the lie was taken for an answer: %v", i, err)
				}
				for next := err; next != nil; next = errors.Unwrap(next) {
					if shown := fmt.Sprintf("%v %+v %#v %s", next, next, next, sources.HintOf(err)); strings.Contains(shown, canary) {
						t.Errorf("%d: shown: %s", i, shown)
					}
				}
			}
		})
	}
}
