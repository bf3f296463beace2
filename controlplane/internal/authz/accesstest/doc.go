// Package accesstest makes the matrix of who may call what from the declarations of the
// RPCs, for a test of a whole server: every RPC with no credential, a bad, an expired and a
// revoked one, one of another tenant, one without the permission, and one of the wrong
// site, each with what it must come to, on gRPC and on REST.
//
// The cases change nothing: whatever is allowed asks for validateOnly, and what only
// operators may do is only tried by those who may not. Package tests make the credentials
// with [Issue], or by themselves.
package accesstest
