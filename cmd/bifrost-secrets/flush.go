package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch/control"

	"github.com/spf13/cobra"
)

type flushJob struct {
	client
	noWait bool
}

func (p *program) flushCommand() *cobra.Command {
	j := &flushJob{client: client{p: p, withToken: true}}
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Have a running watch or exec fetch the secrets again",
		Long: `Flush asks a running watch or exec to fetch every secret again, and to apply what has changed to
Bifrost. It ends when that is done, and says which secrets failed.`,
		Example: `  bifrost-secrets flush --token-file /run/secrets/flush-token
  bifrost-secrets flush --address unix:/run/bifrost-secrets/control.sock`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := j.flush(cmd.Context())
			if err = p.conclude(&r, &r.Error, err); err != nil {
				return err
			}
			p.say("%s", clean(r.Message))
			if text := unapplied(r.RestartRequired, r.NotApplied); text != "" {
				p.note(text, "bifrost-secrets status shows which, and why")
			}
			return nil
		},
	}
	// As long as a fetch may take, and its application besides.
	j.flags(cmd, 2*time.Minute)
	cmd.Flags().BoolVar(&j.noWait, "no-wait", false, "do not wait for the result")
	p.jsonFlag(cmd)
	return cmd
}

type flushed struct {
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty"`
	// Fields that are new and that Bifrost does not have yet.
	RestartRequired int `json:"restart_required,omitempty"`
	NotApplied      int `json:"not_applied,omitempty"`

	Error   string          `json:"error,omitempty"`
	Hint    string          `json:"hint,omitempty"`
	Secrets json.RawMessage `json:"secrets,omitempty"` // the failing ones, as the server tells of them
}

// unapplied tells of fields that are new and that Bifrost does not have.
func unapplied(restart, failed int) string {
	var parts []string
	if failed > 0 {
		parts = append(parts, count(failed, "field")+" could not be applied yet")
	}
	if restart > 0 {
		parts = append(parts, count(restart, "field")+" waiting for a restart of Bifrost")
	}
	return strings.Join(parts, ", ")
}

func (j *flushJob) flush(ctx context.Context) (result flushed, err error) {
	path := control.FlushPath
	if j.noWait {
		path += "?wait=false"
	} else {
		defer j.p.waiting("waiting for the refresh of " + j.address)()
	}
	r, err := j.ask(ctx, http.MethodPost, path)
	if err != nil {
		return result, err
	}
	_ = json.Unmarshal(r.body, &result)
	result.OK = r.code == http.StatusOK && !j.noWait || r.code == http.StatusAccepted && j.noWait
	if result.OK && result.Message != "" {
		return result, nil
	}
	result.OK = false
	if problems := j.problems(result.Secrets); len(problems.List) > 0 && r.code == http.StatusBadGateway {
		return result, problems
	}
	return result, j.refusal(r)
}

// problems are the failing secrets, in the words that render has for them.
func (j *flushJob) problems(told json.RawMessage) *render.Problems {
	var list []struct {
		Reference, Reason, Hint string
		Kind                    sources.Kind
		Fields                  []string
	}
	_ = json.Unmarshal(told, &list)
	all := &render.Problems{Document: j.address}
	for _, one := range list {
		p := render.Problem{Reference: one.Reference, Reason: one.Reason, Hint: one.Hint, Kind: one.Kind}
		for _, field := range one.Fields {
			p.Places = append(p.Places, render.Place{Path: field})
		}
		all.List = append(all.List, p)
	}
	return all
}
