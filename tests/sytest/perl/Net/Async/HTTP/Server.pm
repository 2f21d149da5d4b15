# A substitute for the CPAN module of this name, which Debian does not package. It has the methods that sytest uses: an
# IO::Async listener that passes each request to `on_request`.

package Net::Async::HTTP::Server;

use strict;
use warnings;
use base qw( IO::Async::Listener );

use HTTP::Request;
use Net::Async::HTTP::Server::Request;

our $VERSION = '0.14';

sub _init {
    my ( $self, $params ) = @_;
    $params->{handle_class} = 'Net::Async::HTTP::Server::Connection';
    $self->{request_class} = delete $params->{request_class} // 'Net::Async::HTTP::Server::Request';
    return $self->SUPER::_init($params);
}

sub configure {
    my ( $self, %params ) = @_;
    $self->{on_request} = delete $params{on_request} if exists $params{on_request};
    return $self->SUPER::configure(%params);
}

sub on_accept {
    my ( $self, $connection ) = @_;
    $connection->configure( on_closed => sub { $_[0]->remove_from_parent if $_[0]->parent } );
    $self->add_child($connection);
    return;
}

sub make_request {
    my ( $self, @args ) = @_;
    return $self->{request_class}->new(@args);
}

package Net::Async::HTTP::Server::Connection;

use base qw( IO::Async::Stream );

sub on_read {
    my ( $self, $buffer, $eof ) = @_;
    return 0 if $eof;
    my $end = index $$buffer, "\r\n\r\n";
    return 0 if $end < 0;
    my $request = HTTP::Request->parse( substr $$buffer, 0, $end + 2 );
    my $length = $request->content_length // 0;
    return 0 if length $$buffer < $end + 4 + $length;
    $request->content( substr $$buffer, $end + 4, $length );
    substr $$buffer, 0, $end + 4 + $length, '';
    my $server = $self->parent;
    $server->invoke_event( on_request => $server->make_request( $self, $request ) );
    return 1;
}

1;
