// Command protodeps writes the third-party proto files that Breakwater's own
// protos may import (google/api, google/rpc, google/type, buf/validate) into a
// folder that git ignores.
//
// Nothing is downloaded and nothing is copied into the repository: the text is
// printed from the descriptors that the pinned Go modules already link, so the
// files always agree with the Go types that generated code refers to. buf reads
// the folder as a second module. Files of google/protobuf are left out, since
// buf brings them itself.
//
// The output is deterministic. A file is written only when its text differs,
// and files that no longer belong are removed, so the command may run before
// every generation without costing anything. It exits with status 1 and one
// line on standard error when the folder cannot be written.
package main
