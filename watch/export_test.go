package watch

// RetryEvery shortens the waits between tries of a refresh that failed. It is
// called before Start.
func (l *Loop) RetryEvery(b Backoff) { l.waits, l.retries = b, b }
