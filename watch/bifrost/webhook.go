package bifrost

var webhooks = collection{path: "/api/webhooks", one: "/api/webhooks", in: "endpoints", what: "webhook", id: "id"}

// webhookRecord is a webhook. Bifrost resets what a body leaves out; its secret is
// neither shown nor taken.
func (j *job) webhookRecord(name string) record {
	r := j.record(webhooks, name)
	r.passing = map[string]bool{"consecutive_failures": true, "last_success_at": true, "last_failure_at": true, "updated_at": true, "config_hash": true}
	r.check = func(top value, _ []place) *Error {
		if to, _ := top.member("url").text(); to == "" {
			return unknownShape(r.what, "has no url")
		}
		if top.member("events").kind() != '[' {
			return unknownShape(r.what, "has no events")
		}
		return nil
	}
	return r
}
