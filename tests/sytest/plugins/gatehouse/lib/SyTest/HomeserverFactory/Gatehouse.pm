# Makes the one homeserver that there is for sytest: `run-tests.pl -I Gatehouse`.

package SyTest::HomeserverFactory::Gatehouse;

use strict;
use warnings;
use base qw( SyTest::HomeserverFactory );

use SyTest::Homeserver::Gatehouse;

sub implementation_name { 'gatehouse' }

sub create_server {
    my ( $self, %params ) = @_;
    die "there is one Gatehouse and no federation\n" if $self->{made}++;
    return SyTest::Homeserver::Gatehouse->new(%params);
}

1;
