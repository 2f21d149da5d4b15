# A `gatehouse-local` for sytest, and what stands around one: the mails it sends go to sytest's mail server,
# its question about a captcha to sytest's provider, and sytest's identity servers are at addresses it knows.

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

# How many identity servers sytest may start; each test that wants one starts one of its own.
use constant IDENTITY_SERVERS => 24;

# Every port is held until all are known, so that none is given twice.
sub free_ports {
    my ($count) = @_;
    my @sockets = map { IO::Socket::IP->new( LocalHost => '127.0.0.1', Listen => 1 ) or die "no port: $@" } 1 .. $count;
    return map { $_->sockport } @sockets;
}

my ( $port, $captcha_port, @identity_ports ) = free_ports( 2 + IDENTITY_SERVERS );
my @ports_left = @identity_ports;
my $location = "http://127.0.0.1:$port";

# An identity server takes the next port. Without TLS: its certificate is self-signed, which Gatehouse takes
# from nobody, while the operator may say that a server is reached without.
install_modifier 'SyTest::Identity::Server', around => listen => sub {
    my ( $listen, $self, %params ) = @_;
    delete @params{qw( extensions SSL_cert_file SSL_key_file )};
    my $next = shift @ports_left or die "there are but ${\ IDENTITY_SERVERS } ports for identity servers\n";
    return $self->$listen( %params, host => '127.0.0.1', service => $next, socktype => 'stream' );
};

# Some tests ask `/sync` whether a token is good. Gatehouse serves none; here it is `/account/whoami` that is asked in
# its place, and answers. What was `/unstable` is asked under its path of today.
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
    )->then( sub { $self->answer_captchas } )->then( sub { $self->deliver_mails } )
        ->then( sub { $self->add_application_services } );
}

# A failure in the log fails the run, whatever was answered.
sub _on_output_line {
    my ( $self, $process, $line ) = @_;
    warn "gatehouse-local: $line\n" if $line =~ /panicked| ERROR /;
    return $self->SUPER::_on_output_line( $process, $line );
}

# Asks sytest's provider, which speaks TLS with a certificate of its own authority.
sub answer_captchas {
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

# Takes what is new in the outbox to sytest's mail server.
sub deliver_mails {
    my ($self) = @_;
    my $known = 0;
    my $look = sub {
        return $self->{client}->do_request( method => 'GET', uri => "$location/_local/outbox" )->then(
            sub {
                my ($messages) = @_;
                my @new = grep { $_->{medium} eq 'email' } @$messages[ $known .. $#$messages ];
                $known = @$messages;
                return Future->needs_all( map { $self->deliver($_) } @new );
            }
        );
    };
    my $busy;
    my $timer = IO::Async::Timer::Periodic->new(
        interval => 0.1,
        # At the end the house goes first; a mail that is missing fails the test that waits for it.
        on_tick => sub { $busy = $look->()->else_done unless $busy && !$busy->is_ready },
    );
    $self->add_child( $timer->start );
    return Future->done;
}

sub deliver {
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
            # It takes its commands one after the other, however early they come.
            return $stream->write( "HELO gatehouse\r\nMAIL FROM:<$from>\r\nRCPT TO:<$mail->{to}>\r\nDATA\r\n$message\r\n.\r\n" );
        }
    );
}

# With the operator's command, as the README says. What it adds is in force within a minute, and time can be made to pass.
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
