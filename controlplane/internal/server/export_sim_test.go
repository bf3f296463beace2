package server

import "github.com/breakwater-cdn/breakwater/controlplane/internal/simfleet"

// Simulated is the simulated fleet of a development server.
func (s *Server) Simulated() *simfleet.Fleet { return s.development.fleet }
