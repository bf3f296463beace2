// Package rpcerr is the one table from errors to statuses. Handlers and rooms return typed
// errors; [Status] turns any of them, wrapped ones too, into a google.rpc.Status with its
// details (AIP-193): ErrorInfo always, and BadRequest, PreconditionFailure, QuotaFailure,
// RetryInfo and Help where they apply. What is not in the table is INTERNAL and tells the
// caller nothing of its cause. gRPC and REST answer from the same status.
package rpcerr
