package watch

// RetryEvery shortens the waits between tries of a refresh that failed. It is
// called before Start.
func (l *Loop) RetryEvery(b Backoff) { l.waits, l.retries = b, b }

// Deaf takes the file events away, as a filesystem does that has none.
func (f *Files) Deaf() {
	_ = f.events.Close()
	f.events = nil
}

// PollEvery is how often the files are looked at.
const PollEvery = pollEvery
