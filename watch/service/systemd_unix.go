//go:build unix

package service

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// serviceManager is told how it goes where systemd, or another that speaks
// sd_notify(3), has started this program.
type serviceManager struct {
	socket    string // empty where there is none
	reloading atomic.Bool
}

func (m *serviceManager) tell(state string) {
	if m.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"}) // @ begins an abstract one
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // nobody may read
	_, _ = conn.Write([]byte(state))                       // nobody may listen
}

func (m *serviceManager) ready()    { m.tell("READY=1") }
func (m *serviceManager) stopping() { m.tell("STOPPING=1") }

// reload is told of SIGHUP, and ends with the next refresh.
func (m *serviceManager) reload() {
	m.reloading.Store(true)
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil {
		m.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
	}
}

func (m *serviceManager) refreshed() {
	if m.reloading.CompareAndSwap(true, false) {
		m.ready()
	}
}
