# Runs `gatehouse-local` for sytest and connects it to sytest's mock servers: mails are forwarded to sytest's mail server
# and captcha verification requests to sytest's captcha provider, and sytest's identity servers get ports that Gatehouse
# trusts.

package SyTest::Homeserver::Gatehouse;

use strict;
use warnings;
use base qw( SyTest::Homeserver );

use Class::Method::Modifiers qw( install_modifier );
use Email::MIME;
use Future;
use Future::Utils qw( repeat );
use HTTP::Response;
use IO::Async::Timer::Periodic;
use IO::Socket::IP;
use Net::Async::HTTP::Server;
use SyTest::HTTPClient;
use SyTest::Identity::Server;

# The number of identity servers that sytest may start. Each test that needs one starts its own.
use constant IDENTITY_SERVERS => 24;

# All ports are bound until the last one is known, so that no port is returned twice.
sub free_ports {
    my ($count) = @_;
    my @sockets = map { IO::Socket::IP->new( LocalHost => '127.0.0.1', Listen => 1 ) or die "no free port: $@" } 1 .. $count;
    return map { $_->sockport } @sockets;
}

my ( $port, $captcha_port, @identity_ports ) = free_ports( 2 + IDENTITY_SERVERS );
my @ports_left = @identity_ports;
my $location = "http://127.0.0.1:$port";

# Makes an identity server listen on the next port and without TLS. Gatehouse does not accept the self-signed certificate
# of sytest, but the operator may configure an http:// URL for an identity server.
install_modifier 'SyTest::Identity::Server', around => listen => sub {
    my ( $listen, $self, %params ) = @_;
    delete @params{qw( extensions SSL_cert_file SSL_key_file )};
    my $next = shift @ports_left
        or die "sytest needs more than ${\ IDENTITY_SERVERS } identity servers: raise IDENTITY_SERVERS\n";
    return $self->$listen( %params, host => '127.0.0.1', service => $next, socktype => 'stream' );
};

# Some tests use `/sync` to check whether an access token is valid. Gatehouse does not serve `/sync`, so the request is
# sent to `/account/whoami` instead. Requests to `/unstable/account/` go to the stable path.
install_modifier 'SyTest::HTTPClient', around => do_request => sub {
    my ( $do_request, $self, %params ) = @_;
    my $uri = $params{uri} // '';
    $params{uri} = $uri =~ s{^/unstable/account/}{/v3/account/}r if $uri;
    return $self->$do_request(%params) unless $uri eq '/v3/sync';
    return $self->$do_request( %params, uri => '/v3/account/whoami' )->then(
        sub {
            my ( undef, $response ) = @_;
            return Future->done( { next_batch => 'now' }, $response );
        }
    );
};

sub server_name     { 'localhost' }
sub federation_host { 'localhost' }
sub federation_port { undef }
sub public_baseurl  { $location }
sub pid             { 0 }

sub settings {
    my ($self) = @_;
    return (
        GATEHOUSE_ARGON2               => 'm=8,t=1,p=1',
        GATEHOUSE_CAPTCHA_PROVIDER     => 'recaptcha',
        GATEHOUSE_CAPTCHA_SECRET_KEY   => $self->{recaptcha_config}{private_key},
        GATEHOUSE_CAPTCHA_SITE_KEY     => $self->{recaptcha_config}{public_key},
        GATEHOUSE_CAPTCHA_VERIFY_URL   => "http://127.0.0.1:$captcha_port/",
        GATEHOUSE_EMAIL_LINK           => 'direct',
        GATEHOUSE_LIMITS               => 'off',
        GATEHOUSE_PASSWORD_MIN_SCORE   => '0',
        GATEHOUSE_REGISTRATION_FLOWS   => 'm.login.dummy m.login.email.identity m.login.recaptcha+m.login.msisdn',
        GATEHOUSE_TRUSTED_ID_SERVERS   => join( ' ', map { "localhost:$_=http://127.0.0.1:$_" } @identity_ports ),
    );
}

sub start {
    my ($self) = @_;
    my %inherited = map { $_ => $ENV{$_} } grep { !/^(GATEHOUSE|AWS)_/ } keys %ENV;
    $self->{client} = SyTest::HTTPClient->new;
    $self->add_child( $self->{client} );
    return $self->_start_process_and_await_connectable(
        command      => [ "$ENV{TARGET_DIR}/debug/gatehouse-local", '--listen', "127.0.0.1:$port" ],
        setup        => [ env => { %inherited, $self->settings } ],
        connect_host => '127.0.0.1',
        connect_port => $port,
        name         => 'gatehouse-local',
    )->then( sub { $self->forward_captcha_requests } )->then( sub { $self->forward_mails } )
        ->then( sub { $self->add_application_services } );
}

# An error in the log fails the run, even if all responses were as expected.
sub _on_output_line {
    my ( $self, $process, $line ) = @_;
    warn "gatehouse-local: $line\n" if $line =~ /panicked| ERROR /;
    return $self->SUPER::_on_output_line( $process, $line );
}

# Forwards verification requests to sytest's captcha provider. Gatehouse cannot connect to it directly, because the
# certificate of the provider is issued by sytest's own CA.
sub forward_captcha_requests {
    my ($self) = @_;
    my $provider = Net::Async::HTTP::Server->new(
        on_request => sub {
            my ( undef, $request ) = @_;
            $self->{client}->do_request(
                method       => 'POST',
                uri          => $self->{recaptcha_config}{siteverify_api},
                content      => $request->body,
                content_type => $request->header('Content-Type'),
            )->then(
                sub {
                    my ( undef, $response ) = @_;
                    $request->respond( HTTP::Response->new( 200, 'OK', $response->headers->clone, $response->content ) );
                    return Future->done;
                }
            )->retain;
        },
    );
    $self->add_child($provider);
    return $provider->listen( host => '127.0.0.1', service => $captcha_port, socktype => 'stream' );
}

# Forwards new mails of the outbox to sytest's mail server.
sub forward_mails {
    my ($self) = @_;
    my $forwarded = 0;
    my $forward = sub {
        return $self->{client}->do_request( method => 'GET', uri => "$location/_local/outbox" )->then(
            sub {
                my ($messages) = @_;
                my @new = grep { $_->{medium} eq 'email' } @$messages[ $forwarded .. $#$messages ];
                $forwarded = @$messages;
                return Future->needs_all( map { $self->forward_mail($_) } @new );
            }
        );
    };
    my $busy;
    my $timer = IO::Async::Timer::Periodic->new(
        interval => 0.1,
        # Errors are ignored, because the server stops before the timer at the end of a run. A missing mail fails the test
        # that waits for it.
        on_tick => sub { $busy = $forward->()->else_done unless $busy && !$busy->is_ready },
    );
    $self->add_child( $timer->start );
    return Future->done;
}

sub forward_mail {
    my ( $self, $mail ) = @_;
    my $message = Email::MIME->create(
        header_str => [ From => $mail->{from}, To => $mail->{to}, Subject => $mail->{subject} ],
        attributes => { content_type => 'text/plain', charset => 'UTF-8', encoding => '8bit' },
        body_str   => $mail->{text},
    )->as_string =~ s/\r?\n/\r\n/gr;
    my ($from) = $mail->{from} =~ /<(.+)>/;
    my $server = $self->{smtp_server_config};
    return $self->loop->connect( host => $server->{host}, service => $server->{port}, socktype => 'stream' )->then(
        sub {
            my ($socket) = @_;
            my $stream = IO::Async::Stream->new( handle => $socket, on_read => sub { ${ $_[1] } = ''; 0 } );
            $self->loop->add($stream);
            # sytest's mail server processes pipelined commands in order.
            return $stream->write( "HELO gatehouse\r\nMAIL FROM:<$from>\r\nRCPT TO:<$mail->{to}>\r\nDATA\r\n$message\r\n.\r\n" );
        }
    );
}

# Adds the application services with the admin CLI, as README.md describes. The change takes effect within a minute, so
# the clock is advanced afterwards.
sub add_application_services {
    my ($self) = @_;
    my $script = "eval \"\$(curl --silent --fail $location/_local/env)\" && exec \"\$0\" appservices add \"\$1\"";
    return repeat(
        sub {
            my ($file) = @_;
            $self->_run_command( command => [ 'bash', '-c', $script, "$ENV{TARGET_DIR}/debug/gatehouse-admin", $file ] );
        },
        foreach => [ @{ $self->{app_service_config_files} } ],
        while   => sub { !$_[0]->failure },
    )->then(
        sub {
            $self->{client}->do_request_json(
                method  => 'POST',
                uri     => "$location/_local/clock",
                content => { advance_seconds => 61 },
            );
        }
    );
}

1;
