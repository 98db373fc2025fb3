package main

import (
	"io"
	"log/slog"
	"strings"

	"bifrost-secrets/cmd/internal/variables"
)

// logFormat is how the log is written, and with it all that goes to the standard
// error: one form in one run. Empty means what fits: exec and watch write text to a
// terminal and JSON elsewhere, and the other commands lines for people.
type logFormat string

const (
	textLog logFormat = "text"
	jsonLog logFormat = "json"
)

func (f *logFormat) Set(text string) error {
	if text != string(textLog) && text != string(jsonLog) {
		return usageError("--log-format must be text or json", "")
	}
	*f = logFormat(text)
	return nil
}

func (*logFormat) Type() string { return "string" }

func (f *logFormat) String() string { return string(*f) }

// chooseLogFormat finds the format before anything can go wrong: what is wrong with
// the flags is written in it too.
func (p *program) chooseLogFormat(args []string) {
	p.format = logFormat(p.env[variables.Name("log-format")])
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if value, ok := strings.CutPrefix(arg, "--log-format="); ok {
			p.format = logFormat(value)
		} else if arg == "--log-format" && i+1 < len(args) {
			p.format = logFormat(args[i+1])
		}
	}
	if p.format == jsonLog {
		p.screen.log = slog.New(p.handler(p.screen, jsonLog))
	}
}

// logJSON begins anew what chooseLogFormat began: --verbose and --quiet are known
// by now.
func (p *program) logJSON() {
	if p.format == jsonLog {
		p.screen.log = slog.New(p.handler(p.screen, jsonLog))
	}
}

func (p *program) handler(w io.Writer, format logFormat) slog.Handler {
	level := slog.LevelInfo
	switch {
	case p.verbose:
		level = slog.LevelDebug
	case p.quiet:
		level = slog.LevelWarn
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "hint" && a.Value.String() == "" {
			return slog.Attr{} // which is left out
		}
		return a
	}}
	if format == jsonLog {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// log returns the logger for detail, which --verbose shows.
func (p *program) log() *slog.Logger {
	switch {
	case !p.verbose:
		return slog.New(slog.DiscardHandler)
	case p.screen.log != nil:
		return p.screen.log
	}
	return slog.New(p.handler(p.screen, textLog))
}
