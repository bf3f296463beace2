// Package wire is the form in which a control plane and its edges meet: the keys under
// edge/ and base/, the state hash, and the signatures. It has one definition, which both
// the publisher and the agent use; it does no I/O and holds no state.
package wire
