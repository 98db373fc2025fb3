package bifrost

import (
	"context"
	"net/url"
)

var webhooks = collection{path: "/api/webhooks", in: "endpoints", what: "webhook", id: "id"}

// webhookRecord is a webhook. Bifrost resets what a body leaves out; its secret is
// neither shown nor taken.
func (j *job) webhookRecord(name string) record {
	what := quoted("webhook %s", name)
	return record{
		what:    what,
		read:    func(ctx context.Context) (value, *Error) { return j.read(ctx, webhooks, name) },
		passing: map[string]bool{"consecutive_failures": true, "last_success_at": true, "last_failure_at": true, "updated_at": true, "config_hash": true},
		check: func(top value, _ []place) *Error {
			if to, _ := top.member("url").text(); to == "" {
				return unknownShape(what, "has no url")
			}
			if top.member("events").kind() != '[' {
				return unknownShape(what, "has no events")
			}
			return nil
		},
		path: func(top value) string {
			id, _ := top.member("id").text()
			return webhooks.path + "/" + url.PathEscape(id)
		},
	}
}
