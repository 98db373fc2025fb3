//go:build linux

package porttest

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
)

func TestKeep(t *testing.T) {
	port, release, err := Keep()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	address := fmt.Sprint("127.0.0.1:", port)
	for range 2 { // and again after a stop
		if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("somebody listens: %v, %v", conn, err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		_ = l.Close()
	}
	// All that the system hands out are others.
	var all []net.Listener
	defer func() {
		for _, l := range all {
			_ = l.Close()
		}
	}()
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
		if l.Addr().(*net.TCPAddr).Port == port {
			t.Fatal("it was handed out")
		}
	}
}
