# A request to `Net::Async::HTTP::Server`, and the response to it.

package Net::Async::HTTP::Server::Request;

use strict;
use warnings;

use URI::QueryParam;

our $VERSION = '0.14';

sub new {
    my ( $class, $connection, $request ) = @_;
    return bless { connection => $connection, request => $request }, $class;
}

sub as_http_request { $_[0]{request} }
sub method          { $_[0]{request}->method }
sub path            { $_[0]{request}->uri->path }
sub query_string    { $_[0]{request}->uri->query }
sub query_form      { $_[0]{request}->uri->query_form }
sub query_param     { scalar $_[0]{request}->uri->query_param( $_[1] ) }
sub header          { scalar $_[0]{request}->header( $_[1] ) }
sub headers         { $_[0]{request}->headers }
sub body            { $_[0]{request}->content }
sub stream          { $_[0]{connection} }

sub respond {
    my ( $self, $response ) = @_;
    $response->protocol('HTTP/1.1');
    $response->message( $response->message || 'Response' );
    $response->content_length( length $response->content ) unless defined $response->content_length;
    $self->{connection}->write( $response->as_string("\r\n") );
    return;
}

1;
