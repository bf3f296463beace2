// Package telemetry is what the server says about itself: logs, metrics and traces.
//
// # Logs
//
// [NewLogger] returns a slog.Logger that never writes a secret: values under telling keys
// are left out, and credentials are recognised wherever they stand, in messages and errors
// too. [WithAttrs] adds attributes to a context; every line that is logged with it has them.
//
// # Metrics
//
// [Metrics] owns a Prometheus registry, with no global state, so that tests may run several
// servers in one process. Labels have few values: methods that exist, codes, verbs.
//
// # Traces
//
// [StartTracing] sends spans by OTLP where an endpoint is configured, and costs nothing
// where none is. Spans have methods and codes, never messages or metadata.
//
// Everything is safe for concurrent use. Durations are measured on the real clock, which no
// decision depends on.
package telemetry
