package server

import (
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
)

// newAdmin is what the admin listener answers: metrics, and what gRPC services there are.
// Reflection tells of the API and does not call it.
func newAdmin(a *api, o *observation) http.Handler {
	options := reflection.ServerOptions{Services: a.server}
	reflect := grpc.NewServer()
	reflectionv1.RegisterServerReflectionServer(reflect, reflection.NewServerV1(options))
	reflectionalpha.RegisterServerReflectionServer(reflect, reflection.NewServer(options))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.metrics.Handler())
	for _, service := range reflectionServices {
		mux.Handle("POST /"+service+"/ServerReflectionInfo", reflect)
	}
	return mux
}

// plainHTTP2 lets a server speak HTTP/2 without TLS too, which gRPC needs.
func plainHTTP2(s *http.Server) *http.Server {
	s.Protocols = &http.Protocols{}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}
