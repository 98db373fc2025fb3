package bifrosttest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// given are the ports that were returned: whoever is to listen may not do so yet.
var given sync.Map

// FreePort returns a port of 127.0.0.1 for a process that listens on it later, another
// one at each call. It is none that the system itself hands out, to a listener or to a
// connection: a Bifrost may take a minute to listen, and whoever got its port meanwhile
// would be taken for it.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		// To listen and close would leave it taken for as long as a process that is
		// being started has what this one had open.
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return port
		}
		_ = conn.Close()
	}
	t.Fatal("no port is free")
	return ""
}
