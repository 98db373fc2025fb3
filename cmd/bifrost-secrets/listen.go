package main

import (
	"log/slog"
	"net/http"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
)

// listenFlags are the flags of the HTTP server beside the loop.
type listenFlags struct {
	listen    []string
	probe     string
	tokenFile string
	tlsCert   string
	tlsKey    string
	insecure  bool
	flushRate float64
}

// listenNone stands for no listener at all.
const listenNone = "none"

func (l *listenFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&l.listen, "listen", []string{control.DefaultListen}, "`address` for flush, status, probes and metrics: HOST:PORT, unix:PATH or none; repeatable")
	f.StringVar(&l.probe, "probe-listen", "", "`address` for probes and metrics alone, without TLS: HOST:PORT")
	f.StringVar(&l.tokenFile, "token-file", "", "`file` of the tokens that may flush and see the status, one a line; beside those of $"+control.TokenVariable)
	f.StringVar(&l.tlsCert, "tls-cert", "", "PEM `file` of the certificate for --listen; read again when it changes")
	f.StringVar(&l.tlsKey, "tls-key", "", "PEM `file` of its key")
	f.BoolVar(&l.insecure, "insecure-listen", false, "allow --listen without TLS where other machines reach it")
	f.Float64Var(&l.flushRate, "flush-rate", control.DefaultFlushRate, "how many flushes a second each client may make")
}

// options gives the settings of the server. ok is false where none is wanted.
func (l *listenFlags) options(p *program, metrics http.Handler, log *slog.Logger) (opts control.Options, ok bool, err error) {
	opts = control.Options{
		Listen: l.listen, ProbeListen: l.probe, TokenFile: l.tokenFile, Token: sources.NewSecret([]byte(p.env[control.TokenVariable])),
		TLSCert: l.tlsCert, TLSKey: l.tlsKey, InsecureListen: l.insecure, FlushRate: l.flushRate, Metrics: metrics, Log: log,
	}
	for _, one := range l.listen {
		if one != listenNone {
			continue
		}
		if len(l.listen) > 1 {
			return opts, false, usageError("--listen none excludes other addresses", "leave one of them out")
		}
		opts.Listen = nil
	}
	if l.flushRate <= 0 {
		return opts, false, usageError("--flush-rate must be more than nothing", "write --flush-rate 10")
	}
	return opts, len(opts.Listen) > 0 || l.probe != "", nil
}
