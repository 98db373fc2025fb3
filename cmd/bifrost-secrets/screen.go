package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch/service"

	"golang.org/x/term"
)

const prefix = "bifrost-secrets: "

// screen is the standard error, for people. It is safe for concurrent use.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	lines    *logLines // where w is one of those, before the stream itself
	terminal bool
	colour   bool
	log      *slog.Logger // where all is written as lines of a log; else nil
}

func newScreen(w io.Writer, env map[string]string) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok {
		s.terminal = term.IsTerminal(int(f.Fd()))
	}
	s.colour = s.terminal && env["NO_COLOR"] == "" && env["TERM"] != "dumb"
	return s
}

// queue has all that is written from now on go through a queue, so that nobody
// waits for who reads it. notice returns the line that says how many lines were
// dropped.
func (s *screen) queue(notice func(dropped int) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = &logLines{w: s.w, notice: notice}
	s.w = s.lines
}

func (s *screen) stream() io.Writer {
	if s.lines != nil {
		return s.lines.w
	}
	return s.w
}

// finish waits a moment for who reads the last lines.
func (s *screen) finish() { s.lines.Finish(logPatience) }

// Write lets a log handler write whole lines.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

func (s *screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) line(format string, args ...any) {
	if s.log != nil {
		s.log.Info(fmt.Sprintf(format, args...))
		return
	}
	_, _ = s.Write([]byte(prefix + fmt.Sprintf(format, args...) + "\n"))
}

func (s *screen) problem(text, hint string) {
	s.say(slog.LevelError, s.paint("31", clean(text)), clean(text), hint)
}

func (s *screen) note(text, hint string) {
	s.say(slog.LevelInfo, s.paint("33", "note:")+" "+clean(text), "note: "+clean(text), hint)
}

func (s *screen) warning(text, hint string) {
	s.say(slog.LevelWarn, s.paint("33", "warning:")+" "+clean(text), clean(text), hint)
}

func (s *screen) say(level slog.Level, line, logged, hint string) {
	switch {
	case s.log == nil:
		s.line("%s", line)
		s.hint(hint)
	case hint == "":
		s.log.Log(context.Background(), level, logged)
	default:
		s.log.Log(context.Background(), level, logged, "hint", clean(hint))
	}
}

func (s *screen) hint(hint string) {
	switch {
	case hint == "":
	case s.log != nil:
		s.log.Warn("hint: " + clean(hint))
	default:
		s.line("%s %s", s.paint("36", "hint:"), clean(hint))
	}
}

// clean keeps what comes from outside from moving the cursor or beginning a
// line of its own.
func clean(text string) string { return service.Clean(text) }

func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func quote(text string) string { return strconv.Quote(text) }

// tellsAfter is how long something takes before the screen says what is waited for.
// Tests of what is printed set it, by the linker too: a busy machine adds no line.
var tellsAfter = "1s"

// waiting says what the program waits for, once that has taken a second. The function
// that it returns ends the wait.
func (s *screen) waiting(what string) (done func()) {
	said := make(chan struct{})
	after, err := time.ParseDuration(tellsAfter)
	if err != nil {
		after = time.Second
	}
	timer := time.AfterFunc(after, func() {
		defer close(said)
		s.line("%s (%.0f s)", what, after.Seconds())
	})
	return func() {
		if !timer.Stop() {
			<-said
		}
	}
}

// report prints an error with all that it knows: what, where, why and what to
// do about it.
func (p *program) report(err error) {
	var problems *render.Problems
	s := p.screen
	switch {
	case errors.As(err, &problems):
		reportAll(s, problems)
		if n := len(render.Merged(problems.List)); n > 1 && p.writes {
			s.line("%d problems; nothing was written", n)
		}
	case err.Error() != "": // else the command has said all
		s.problem(err.Error(), sources.HintOf(err))
	}
	var more *service.Hinted
	if errors.As(err, &more) {
		s.hint(more.Hint)
	}
}

// reportAll prints every problem. Problems with the same hint share it.
func reportAll(s *screen, problems *render.Problems) {
	list := render.Merged(problems.List)
	for i := range list {
		one := &list[i]
		hint := one.Hint
		if i+1 < len(list) && list[i+1].Hint == hint && s.log == nil {
			hint = "" // the last of them says it
		}
		s.problem(problems.Line(one), hint)
	}
}
