package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
)

type healthJob struct {
	client
	ready bool
}

func (p *program) healthCommand() *cobra.Command {
	j := &healthJob{client: client{p: p}}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask whether a running watch or exec is alive, or ready",
		Long: `Health is a probe for images that have neither a shell nor curl. It ends with 0 if all is well, and
with 1 if not, also where nothing listens.`,
		Example: `  bifrost-secrets health
  bifrost-secrets health --ready --address unix:/run/bifrost-secrets/control.sock`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := j.check(cmd.Context())
			report := struct {
				Error string `json:"error,omitempty"`
				OK    bool   `json:"ok"`
			}{OK: err == nil}
			return p.conclude(&report, &report.Error, err)
		},
	}
	j.flags(cmd, 5*time.Second)
	cmd.Flags().BoolVar(&j.ready, "ready", false, "check readiness: the first render has succeeded, and Bifrost runs")
	p.jsonFlag(cmd)
	return cmd
}

func (j *healthJob) check(ctx context.Context) error {
	path, word := control.HealthPath, "healthy"
	if j.ready {
		path, word = control.ReadyPath, "ready"
	}
	r, err := j.ask(ctx, http.MethodGet, path)
	var own *failure
	if errors.As(err, &own) && own.Code == exitUnreachable {
		own.Code = exitUnresolved // Docker keeps the codes above 1 for itself
	}
	if err != nil {
		return err
	}
	said := strings.TrimSpace(string(r.body))
	switch {
	case r.code == http.StatusOK && said == "ok":
		j.p.say("%s is %s", clean(j.address), word)
		return nil
	case r.code == http.StatusServiceUnavailable && strings.HasPrefix(said, "not ready: "):
		return &failure{Reason: j.address + ": " + said, Hint: "`bifrost-secrets status` shows more", Code: exitUnresolved}
	}
	own = j.refusal(r)
	own.Code = exitUnresolved
	return own
}
