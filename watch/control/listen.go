package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// socketPrefix begins the address of a unix socket.
const socketPrefix = "unix:"

// listen binds every address.
func (s *Server) listen() error {
	if len(s.opts.Listen) == 0 && s.opts.ProbeListen == "" {
		return &Error{Reason: "there is no address to listen on", Hint: "write --listen " + DefaultListen + ", or --listen unix:PATH"}
	}
	for _, address := range s.opts.Listen {
		if path, ok := strings.CutPrefix(address, socketPrefix); ok {
			ln, err := listenSocket(path)
			if err != nil {
				return err
			}
			s.add(ln, address, overSocket, true)
			continue
		}
		if err := s.listenTCP(address, "--listen", overTCP); err != nil {
			return err
		}
	}
	if s.opts.ProbeListen != "" {
		return s.listenTCP(s.opts.ProbeListen, "--probe-listen", probes)
	}
	return nil
}

func (s *Server) listenTCP(address, flag string, kind faceKind) error {
	socket := strings.HasPrefix(address, socketPrefix)
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" || socket {
		e := &Error{Reason: fmt.Sprintf("%s %q is no address", flag, address), Hint: "write HOST:PORT, such as " + DefaultListen}
		switch {
		case kind == overTCP:
			e.Hint += ", or unix:PATH"
		case socket:
			e.Hint = "probes come over TCP: " + e.Hint
		}
		return e
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return &Error{Reason: fmt.Sprintf("%s %q is no address: %v", flag, address, err), Hint: "write HOST:PORT, such as " + DefaultListen, Err: err}
	}
	// Who may be heard is decided by what is bound, not by how it is spelt.
	loopback := at.IP.IsLoopback()
	if kind == overTCP && !loopback && s.cert == nil {
		return &Error{
			Reason: fmt.Sprintf("%s %s can be reached from other machines, and its tokens would travel unencrypted", flag, address),
			Hint:   "give --tls-cert and --tls-key, or listen on " + DefaultListen + " or unix:PATH; --probe-listen for probes and metrics alone",
		}
	}
	ln, err := net.ListenTCP("tcp", at)
	if err != nil {
		return cannotListen(flag+" "+address, err)
	}
	scheme := "http://"
	if kind == overTCP && s.cert != nil {
		scheme = "https://"
	}
	s.add(ln, scheme+ln.Addr().String(), kind, loopback)
	return nil
}

// cannotListen puts an error of bind into words.
func cannotListen(what string, err error) *Error {
	e := &Error{Reason: what + ": cannot listen", Err: err}
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Reason = what + ": something else listens there"
		e.Hint = "stop it, or take another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Reason = what + ": this machine does not have that address"
	case errors.Is(err, os.ErrPermission):
		e.Reason = what + ": no permission to listen there"
		e.Hint = fmt.Sprintf("this process runs as user %d; ports below 1024 may be for root only", os.Geteuid())
	case errors.As(err, &errno):
		e.Reason += ": " + errno.Error()
	}
	return e
}
